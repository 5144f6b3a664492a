"""Rows and ledger written together: conditional UPDATE, movement, status change."""

from collections.abc import Iterable, Mapping

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from catalog import copying, outbox
from catalog.models import StatusChange, Stock, StockMovement
from catalog.status import stock_status
from catalog.stock.terms import Delta, Note, StockConflict


def lock(product_ids: Iterable[int]) -> dict[int, Stock]:
    """The stock rows, locked until the transaction ends, in primary-key order."""
    return {row.pk: row for row in _locked(product_ids)}


def hold(product_ids: Iterable[int]) -> None:
    """The same lock, for who reads the rows in a way of their own."""
    list(_locked(product_ids).values_list("pk"))


def _locked(product_ids: Iterable[int]) -> QuerySet[Stock]:
    rows = Stock.objects.select_for_update().order_by("pk")
    return rows.filter(copying.AnyOf(F("pk"), list(product_ids)))


def record_flips(
    before: Mapping[int, str], rows: Iterable[Stock], *, cause: str
) -> list[StatusChange]:
    """Write a StatusChange for each fresh row whose status is not what it was."""
    flips = [
        flip_of(row, before[row.pk], row.status, row.on_hand - row.reserved, cause)
        for row in rows
        if row.status != before[row.pk]
    ]
    write_flips(flips)
    return flips


def follow(product_ids: Iterable[int]) -> None:
    """Tell whoever keeps live counters that these products' limits moved.

    The callable is named by the setting SHOP_STOCK_FOLLOWER, so that this app does not
    import the one that sells. It runs inside the transaction, under the row's lock.
    """
    if settings.SHOP_STOCK_FOLLOWER:
        import_string(settings.SHOP_STOCK_FOLLOWER)(list(product_ids))


def change_all(kind: str, deltas: Mapping[int, Delta], note: Note) -> None:
    """Change the rows in product order. Raises StockConflict at one that cannot."""
    for product_id, delta in sorted(deltas.items()):
        if not write(product_id, delta):
            raise StockConflict(f"product {product_id} cannot change by {delta}")
    record(kind, deltas, note)


def write(product_id: int, delta: Delta, condition: Q | None = None) -> bool:
    """Change one row if it can take it; the row stays locked by this transaction."""
    rows = Stock.objects.filter(
        condition or Q(),
        pk=product_id,
        on_hand__gte=-delta.on_hand,
        reserved__gte=-delta.reserved,
        allocated__gte=-delta.allocated,
        available__gte=delta.reserved + delta.allocated - delta.on_hand,
    )
    changed = rows.update(
        on_hand=F("on_hand") + delta.on_hand,
        reserved=F("reserved") + delta.reserved,
        allocated=F("allocated") + delta.allocated,
        version=F("version") + (1 if delta.on_hand else 0),
        updated_at=Now(),
    )
    return bool(changed)


def record(
    kind: str,
    deltas: Mapping[int, Delta],
    note: Note,
    *,
    rows: Mapping[int, Stock] | None = None,
) -> None:
    """Write the movements and flips of rows this transaction has just changed.

    `rows` are the rows with their new quantities; they are read if not given.
    """
    if rows is None:
        rows = Stock.objects.filter(copying.AnyOf(F("pk"), deltas)).in_bulk()
    movements, flips = [], []
    for product_id, delta in sorted(deltas.items()):
        row = rows[product_id]
        after = Delta(row.on_hand, row.reserved, row.allocated)
        movements.append(movement_of(product_id, kind, delta, after, note))
        quantity = row.on_hand - row.reserved
        before = status_of(row, quantity - delta.on_hand + delta.reserved)
        if before != (now := status_of(row, quantity)):
            flips.append(flip_of(row, before, now, quantity, note.cause))
    copying.insert(movements)
    write_flips(flips)


def write_flips(flips: list[StatusChange]) -> None:
    """Record crossings, and tell other systems of them in the same transaction."""
    copying.insert(flips)
    outbox.publish_flips(flips)


def status_of(row: Stock, quantity: int) -> str:
    """The status the row has, or would have, with that many units not reserved."""
    return stock_status(
        quantity,
        safety_threshold=row.safety_threshold,
        low_stock_level=row.low_stock_level,
    ).value


def flip_of(
    row: Stock, before: str, after: str, quantity: int, cause: str
) -> StatusChange:
    """A crossing, not yet written."""
    return StatusChange(
        product_id=row.pk,
        from_status=before,
        to_status=after,
        sellable=max(0, quantity - row.safety_threshold),
        cause=cause,
    )


def movement_of(
    product_id: int, kind: str, delta: Delta, after: Delta, note: Note
) -> StockMovement:
    """A ledger row, not yet written."""
    return StockMovement(
        product_id=product_id,
        kind=kind,
        on_hand_delta=delta.on_hand,
        reserved_delta=delta.reserved,
        allocated_delta=delta.allocated,
        on_hand_after=after.on_hand,
        reserved_after=after.reserved,
        allocated_after=after.allocated,
        cause=note.cause,
        reason=note.reason,
        actor_id=note.actor.pk if note.actor else None,
    )
