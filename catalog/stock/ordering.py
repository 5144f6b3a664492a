"""What orders do to stock: reserve, release, ship, take back."""

from collections import Counter
from collections.abc import Mapping, Sequence

from django.db import transaction
from django.db.models import F, Q

from catalog import copying
from catalog.models import Stock
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
def reserve(quantities: Mapping[int, int], *, note: Note) -> None:
    """Promise units to one order; `quantities` maps product id to units.

    All products succeed or none does. Rows are taken in product order, so two orders
    for the same products queue up instead of deadlocking.
    Raises InsufficientStock with every product that falls short.
    """
    terms.check_all(quantities)
    short = []
    for product_id, quantity in sorted(quantities.items()):
        if not writing.write(
            product_id,
            Delta(reserved=quantity),
            Q(available__gte=F("safety_threshold") + quantity),
        ):
            short.append(product_id)
    if short:
        sellable = dict(
            Stock.objects.filter(pk__in=short).values_list("pk", "sellable")
        )
        raise InsufficientStock(
            [Shortage(pk, quantities[pk], sellable.get(pk, 0)) for pk in short]
        )
    writing.record(
        Kind.RESERVE, {pk: Delta(reserved=q) for pk, q in quantities.items()}, note
    )


@transaction.atomic
def release(quantities: Mapping[int, int], *, note: Note) -> None:
    """Give reserved units back to the shelf."""
    terms.check_all(quantities)
    writing.change_all(
        Kind.RELEASE, {pk: Delta(reserved=-q) for pk, q in quantities.items()}, note
    )


@transaction.atomic
def release_many(releases: Sequence[tuple[Mapping[int, int], Note]]) -> None:
    """Give the reserved units of many orders back, as if one after the other.

    One UPDATE per product, in primary-key order; a movement for each order and product.
    Raises StockConflict, and changes nothing, when a row has not so much reserved.
    """
    rows = writing.lock({pk for quantities, _ in releases for pk in quantities})
    totals: Counter[int] = Counter()
    movements, flips = [], []
    for quantities, note in releases:
        terms.check_all(quantities)
        for product_id, quantity in sorted(quantities.items()):
            row, delta = rows[product_id], Delta(reserved=-quantity)
            before = writing.status_of(row, row.on_hand - row.reserved)
            row.reserved -= quantity
            after = Delta(row.on_hand, row.reserved, row.allocated)
            movements.append(
                writing.movement_of(product_id, Kind.RELEASE, delta, after, note)
            )
            now = writing.status_of(row, row.on_hand - row.reserved)
            if now != before:
                unreserved = row.on_hand - row.reserved
                flips.append(writing.flip_of(row, before, now, unreserved, note.cause))
            totals[product_id] += quantity
    for product_id, quantity in sorted(totals.items()):
        if not writing.write(product_id, Delta(reserved=-quantity)):
            raise StockConflict(f"product {product_id} has not {quantity} reserved")
    copying.insert(movements)
    writing.write_flips(flips)


@transaction.atomic
def ship(quantities: Mapping[int, int], *, note: Note) -> None:
    """Turn reserved units into sold ones: on hand and reserved fall together."""
    terms.check_all(quantities)
    writing.change_all(
        Kind.SALE,
        {pk: Delta(on_hand=-q, reserved=-q) for pk, q in quantities.items()},
        note,
    )


@transaction.atomic
def take_back(quantities: Mapping[int, int], *, note: Note) -> None:
    """Put returned units back on the shelf."""
    terms.check_all(quantities)
    writing.change_all(
        Kind.RETURN, {pk: Delta(on_hand=q) for pk, q in quantities.items()}, note
    )
    writing.follow(quantities)
