"""What people do to stock: receive, count, repair."""

from collections.abc import Mapping

from django.db import connection, transaction
from django.db.models.functions import Now

from catalog.models import Stock
from catalog.stock import terms, writing
from catalog.stock.terms import Delta, Kind, Note, StockConflict, VersionConflict


@transaction.atomic
def receive(product_id: int, quantity: int, *, note: Note) -> None:
    """Book units that arrived."""
    terms.check_quantity(quantity)
    writing.change_all(Kind.RECEIPT, {product_id: Delta(on_hand=quantity)}, note)
    writing.follow([product_id])


@transaction.atomic
def adjust(
    product_id: int,
    *,
    on_hand: int,
    expected_version: int | None = None,
    kind: str = Kind.ADJUSTMENT,
    note: Note,
) -> Stock:
    """Set what is physically there to a counted number; return the fresh row.

    Raises VersionConflict when the row changed since `expected_version`, and
    StockConflict when the number would not cover what is already promised.
    """
    row = writing.lock([product_id])[product_id]
    if expected_version is not None and row.version != expected_version:
        raise VersionConflict(row)
    adjust_many({product_id: on_hand}, kind=kind, note=note)
    row.refresh_from_db()
    return row


@transaction.atomic
def adjust_many(counts: Mapping[int, int], *, kind: str, note: Note) -> None:
    """Set what is physically there for many products at once.

    `counts` maps product id to units. Raises StockConflict, and changes nothing, when
    a number would not cover what is already promised or a product has no stock row.
    """
    for on_hand in counts.values():
        terms.check_on_hand(on_hand)
    rows = writing.lock(counts)
    if missing := counts.keys() - rows.keys():
        raise StockConflict(f"products without stock: {sorted(missing)}")
    deltas = {}
    for product_id, row in rows.items():
        on_hand, promised = counts[product_id], row.reserved + row.allocated
        if on_hand < promised:
            raise StockConflict(
                f"{promised} units are promised to orders and sales; "
                f"on hand cannot be set to {on_hand}"
            )
        if delta := Delta(on_hand=on_hand - row.on_hand):
            deltas[product_id] = delta
            row.on_hand = on_hand
    if deltas:
        _set_on_hand({product_id: counts[product_id] for product_id in deltas})
        writing.record(kind, deltas, note, rows=rows)
        writing.follow(deltas)


@transaction.atomic
def repair(
    product_id: int,
    *,
    reserved: int,
    allocated: int,
    ledger_delta: Delta,
    note: Note,
) -> Stock:
    """Bring row and ledger together where they differ; return the fresh row.

    `reserved` and `allocated` are what the row should say; on hand stays, because
    people count it. `ledger_delta` is what the ledger lacks to add up to that. The
    caller works out both under the row's lock. Raises StockConflict when more would
    be promised than is there.
    """
    row = writing.lock([product_id])[product_id]
    if min(reserved, allocated) < 0 or reserved + allocated > row.on_hand:
        raise StockConflict(
            f"product {product_id} has {row.on_hand} on hand and cannot promise "
            f"{reserved} to orders and {allocated} to sales"
        )
    status = row.status
    Stock.objects.filter(pk=product_id).update(
        reserved=reserved, allocated=allocated, updated_at=Now()
    )
    row.refresh_from_db()
    after = Delta(row.on_hand, row.reserved, row.allocated)
    writing.movement_of(product_id, Kind.REPAIR, ledger_delta, after, note).save()
    writing.record_flips({product_id: status}, [row], cause=note.cause)
    writing.follow([product_id])
    return row


def _set_on_hand(counts: Mapping[int, int]) -> None:
    """Write counts to rows that this transaction has locked, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE catalog_stock SET on_hand = counted.on_hand, version = version + 1,
                updated_at = now()
            FROM unnest(%s::bigint[], %s::integer[]) AS counted (product_id, on_hand)
            WHERE catalog_stock.product_id = counted.product_id
            """,
            [list(counts.keys()), list(counts.values())],
        )
