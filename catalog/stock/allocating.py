"""What flash sales do to stock: set units aside, sell of them, give back."""

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Q

from catalog.models import StatusChange, Stock, StockMovement
from catalog.stock import terms, writing
from catalog.stock.terms import (
    Delta,
    InsufficientStock,
    Kind,
    Note,
    Shortage,
    StockConflict,
)


@transaction.atomic
def allocate(product_id: int, units: int, *, note: Note) -> None:
    """Set units aside for a flash sale; they may be any number up to available.

    The safety threshold is kept by the sale's floor, not here.
    Raises InsufficientStock when fewer are available.
    """
    terms.check_quantity(units)
    if not writing.write(product_id, Delta(allocated=units), Q(available__gte=units)):
        available = Stock.objects.get(pk=product_id).available
        raise InsufficientStock([Shortage(product_id, units, available)])
    writing.record(Kind.FLASH_ALLOCATE, {product_id: Delta(allocated=units)}, note)


@transaction.atomic
def deallocate(product_id: int, units: int, *, note: Note) -> None:
    """Give unclaimed flash-sale units back to the regular shop."""
    terms.check_quantity(units)
    writing.change_all(Kind.FLASH_RETURN, {product_id: Delta(allocated=-units)}, note)


@transaction.atomic
def apply_steps(
    product_id: int, steps: Iterable[tuple[str, Delta]], *, note: Note
) -> None:
    """Apply a batch of (kind, delta) in order, as one UPDATE.

    The ledger gets one movement per kind. Status changes are found step by step, so
    each crossing inside the batch is recorded once, as if the steps came one by one.
    """
    row = writing.lock([product_id])[product_id]
    status, quantity = row.status, row.on_hand - row.reserved
    totals: dict[str, Delta] = {}
    flips: list[StatusChange] = []
    for kind, delta in steps:
        totals[kind] = totals.get(kind, Delta()) + delta
        quantity += delta.on_hand - delta.reserved
        now = writing.status_of(row, quantity)
        if now != status:
            flips.append(writing.flip_of(row, status, now, quantity, note.cause))
            status = now
    total = sum(totals.values(), Delta())
    if not writing.write(product_id, total):
        raise StockConflict(f"product {product_id} cannot change by {total}")
    on_hand, reserved, allocated = row.on_hand, row.reserved, row.allocated
    movements = []
    for kind, delta in totals.items():
        on_hand += delta.on_hand
        reserved += delta.reserved
        allocated += delta.allocated
        if delta:
            movements.append(
                writing.movement_of(
                    product_id, kind, delta, Delta(on_hand, reserved, allocated), note
                )
            )
    StockMovement.objects.bulk_create(movements)
    writing.write_flips(flips)
