"""The only writer of stock quantities, and of the ledger that explains them.

Each public function is one transaction (or part of the caller's): a conditional UPDATE
per product in primary-key order, then one movement per product and one StatusChange per
flip, with the values the row had under its lock. Either all of it happens or none.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from catalog import outbox
from catalog.models import Product, StatusChange, Stock, StockMovement
from catalog.status import stock_status

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Kind = StockMovement.Kind
BATCH = 5000


@dataclass(frozen=True, slots=True)
class Shortage:
    """One line that asked for more than the shop may sell."""

    product_id: int
    requested: int
    sellable: int


class InsufficientStock(Exception):
    """Some lines ask for more than is sellable; nothing was taken."""

    def __init__(self, shortages: Sequence[Shortage]) -> None:
        self.shortages = list(shortages)
        super().__init__(
            "; ".join(
                f"product {s.product_id}: {s.requested} asked, {s.sellable} sellable"
                for s in self.shortages
            )
        )


class StockConflict(Exception):
    """The stock row is not what the caller believed; nothing was changed."""


class VersionConflict(StockConflict):
    """Somebody changed the row since the caller read it."""

    def __init__(self, stock: Stock) -> None:
        self.stock = stock
        super().__init__(f"product {stock.pk} is at version {stock.version}")


@dataclass(frozen=True, slots=True)
class Note:
    """Why a quantity changes: an internal cause, a person's words, a person."""

    cause: str = ""
    reason: str = ""
    actor: "User | None" = None


@dataclass(frozen=True, slots=True)
class Delta:
    on_hand: int = 0
    reserved: int = 0
    allocated: int = 0

    def __bool__(self) -> bool:
        return bool(self.on_hand or self.reserved or self.allocated)

    def __add__(self, other: "Delta") -> "Delta":
        return Delta(
            self.on_hand + other.on_hand,
            self.reserved + other.reserved,
            self.allocated + other.allocated,
        )


def check_quantity(quantity: int) -> None:
    """Raise ValueError unless `quantity` is a number of units somebody can mean."""
    if not 1 <= quantity <= settings.SHOP_MAX_QUANTITY:
        raise ValueError(
            f"quantity must be from 1 to {settings.SHOP_MAX_QUANTITY}, got {quantity}"
        )


def check_on_hand(on_hand: int) -> None:
    """Raise ValueError unless `on_hand` can be a count of what is there."""
    if not 0 <= on_hand <= settings.SHOP_MAX_QUANTITY:
        raise ValueError(
            f"on hand must be from 0 to {settings.SHOP_MAX_QUANTITY}, got {on_hand}"
        )


@dataclass(frozen=True, slots=True)
class Opening:
    """The first Stock row of a new product."""

    product_id: int
    on_hand: int
    safety_threshold: int
    low_stock_level: int
    inherits_threshold: bool = True
    inherits_low_stock_level: bool = True


def open_stock(
    product: Product,
    *,
    on_hand: int,
    safety_threshold: int,
    low_stock_level: int,
    inherits_threshold: bool = True,
    inherits_low_stock_level: bool = True,
    kind: str = Kind.RECEIPT,
    note: Note,
) -> Stock:
    """Give a new product its Stock row, with a first movement for what is there."""
    opening = Opening(
        product.pk,
        on_hand,
        safety_threshold,
        low_stock_level,
        inherits_threshold,
        inherits_low_stock_level,
    )
    open_many([opening], kind=kind, note=note)
    return Stock.objects.get(pk=product.pk)


@transaction.atomic
def open_many(
    openings: Iterable[Opening], *, kind: str = Kind.RECEIPT, note: Note
) -> None:
    """Give new products their Stock rows and first movements, all at once.

    A first status is not a crossing: nothing is recorded as a StatusChange.
    Raises ValueError when a number is out of range.
    """
    rows, movements = [], []
    for opening in sorted(openings, key=attrgetter("product_id")):
        check_on_hand(opening.on_hand)
        rows.append(Stock(**asdict(opening)))
        if delta := Delta(on_hand=opening.on_hand):
            movements.append(_movement(opening.product_id, kind, delta, delta, note))
    Stock.objects.bulk_create(rows, batch_size=BATCH)
    StockMovement.objects.bulk_create(movements, batch_size=BATCH)


@transaction.atomic
def reserve(quantities: Mapping[int, int], *, note: Note) -> None:
    """Promise units to one order; `quantities` maps product id to units.

    All products succeed or none does. Rows are taken in product order, so two orders
    for the same products queue up instead of deadlocking.
    Raises InsufficientStock with every product that falls short.
    """
    _check_all(quantities)
    short = []
    for product_id, quantity in sorted(quantities.items()):
        if not _write(
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
    _record(Kind.RESERVE, {pk: Delta(reserved=q) for pk, q in quantities.items()}, note)


@transaction.atomic
def release(quantities: Mapping[int, int], *, note: Note) -> None:
    """Give reserved units back to the shelf."""
    _check_all(quantities)
    _change_all(
        Kind.RELEASE, {pk: Delta(reserved=-q) for pk, q in quantities.items()}, note
    )


@transaction.atomic
def release_many(releases: Sequence[tuple[Mapping[int, int], Note]]) -> None:
    """Give the reserved units of many orders back, as if one after the other.

    One UPDATE per product, in primary-key order; a movement for each order and product.
    Raises StockConflict, and changes nothing, when a row has not so much reserved.
    """
    rows = lock({pk for quantities, _ in releases for pk in quantities})
    totals: Counter[int] = Counter()
    movements, flips = [], []
    for quantities, note in releases:
        _check_all(quantities)
        for product_id, quantity in sorted(quantities.items()):
            row, delta = rows[product_id], Delta(reserved=-quantity)
            before = _status(row, row.on_hand - row.reserved)
            row.reserved -= quantity
            after = Delta(row.on_hand, row.reserved, row.allocated)
            movements.append(_movement(product_id, Kind.RELEASE, delta, after, note))
            now = _status(row, row.on_hand - row.reserved)
            if now != before:
                unreserved = row.on_hand - row.reserved
                flips.append(_flip(row, before, now, unreserved, note.cause))
            totals[product_id] += quantity
    for product_id, quantity in sorted(totals.items()):
        if not _write(product_id, Delta(reserved=-quantity)):
            raise StockConflict(f"product {product_id} has not {quantity} reserved")
    StockMovement.objects.bulk_create(movements, batch_size=BATCH)
    _write_flips(flips)


@transaction.atomic
def ship(quantities: Mapping[int, int], *, note: Note) -> None:
    """Turn reserved units into sold ones: on hand and reserved fall together."""
    _check_all(quantities)
    _change_all(
        Kind.SALE,
        {pk: Delta(on_hand=-q, reserved=-q) for pk, q in quantities.items()},
        note,
    )


@transaction.atomic
def take_back(quantities: Mapping[int, int], *, note: Note) -> None:
    """Put returned units back on the shelf."""
    _check_all(quantities)
    _change_all(
        Kind.RETURN, {pk: Delta(on_hand=q) for pk, q in quantities.items()}, note
    )
    follow(quantities)


@transaction.atomic
def receive(product_id: int, quantity: int, *, note: Note) -> None:
    """Book units that arrived."""
    check_quantity(quantity)
    _change_all(Kind.RECEIPT, {product_id: Delta(on_hand=quantity)}, note)
    follow([product_id])


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
    row = lock([product_id])[product_id]
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
        check_on_hand(on_hand)
    rows = lock(counts)
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
    if deltas:
        _set_on_hand({product_id: counts[product_id] for product_id in deltas})
        _record(kind, deltas, note)
        follow(deltas)


@transaction.atomic
def allocate(product_id: int, units: int, *, note: Note) -> None:
    """Set units aside for a flash sale; they may be any number up to available.

    The safety threshold is kept by the sale's floor, not here.
    Raises InsufficientStock when fewer are available.
    """
    check_quantity(units)
    if not _write(product_id, Delta(allocated=units), Q(available__gte=units)):
        available = Stock.objects.get(pk=product_id).available
        raise InsufficientStock([Shortage(product_id, units, available)])
    _record(Kind.FLASH_ALLOCATE, {product_id: Delta(allocated=units)}, note)


@transaction.atomic
def deallocate(product_id: int, units: int, *, note: Note) -> None:
    """Give unclaimed flash-sale units back to the regular shop."""
    check_quantity(units)
    _change_all(Kind.FLASH_RETURN, {product_id: Delta(allocated=-units)}, note)


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
    row = lock([product_id])[product_id]
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
    _movement(product_id, Kind.REPAIR, ledger_delta, after, note).save()
    record_flips({product_id: status}, [row], cause=note.cause)
    follow([product_id])
    return row


@transaction.atomic
def apply_steps(
    product_id: int, steps: Iterable[tuple[str, Delta]], *, note: Note
) -> None:
    """Apply a batch of (kind, delta) in order, as one UPDATE.

    The ledger gets one movement per kind. Status changes are found step by step, so
    each crossing inside the batch is recorded once, as if the steps came one by one.
    """
    row = lock([product_id])[product_id]
    status, quantity = row.status, row.on_hand - row.reserved
    totals: dict[str, Delta] = {}
    flips: list[StatusChange] = []
    for kind, delta in steps:
        totals[kind] = totals.get(kind, Delta()) + delta
        quantity += delta.on_hand - delta.reserved
        now = _status(row, quantity)
        if now != status:
            flips.append(_flip(row, status, now, quantity, note.cause))
            status = now
    total = sum(totals.values(), Delta())
    if not _write(product_id, total):
        raise StockConflict(f"product {product_id} cannot change by {total}")
    on_hand, reserved, allocated = row.on_hand, row.reserved, row.allocated
    movements = []
    for kind, delta in totals.items():
        on_hand += delta.on_hand
        reserved += delta.reserved
        allocated += delta.allocated
        if delta:
            movements.append(
                _movement(
                    product_id, kind, delta, Delta(on_hand, reserved, allocated), note
                )
            )
    StockMovement.objects.bulk_create(movements)
    _write_flips(flips)


def lock(product_ids: Iterable[int]) -> dict[int, Stock]:
    """The stock rows, locked until the transaction ends, in primary-key order."""
    rows = Stock.objects.select_for_update().filter(pk__in=list(product_ids))
    return {row.pk: row for row in rows.order_by("pk")}


def record_flips(
    before: Mapping[int, str], rows: Iterable[Stock], *, cause: str
) -> list[StatusChange]:
    """Write a StatusChange for each fresh row whose status is not what it was."""
    flips = [
        _flip(row, before[row.pk], row.status, row.on_hand - row.reserved, cause)
        for row in rows
        if row.status != before[row.pk]
    ]
    _write_flips(flips)
    return flips


def follow(product_ids: Iterable[int]) -> None:
    """Tell whoever keeps live counters that these products' limits moved.

    The callable is named by the setting SHOP_STOCK_FOLLOWER, so that this app does not
    import the one that sells. It runs inside the transaction, under the row's lock.
    """
    if settings.SHOP_STOCK_FOLLOWER:
        import_string(settings.SHOP_STOCK_FOLLOWER)(list(product_ids))


def _check_all(quantities: Mapping[int, int]) -> None:
    for quantity in quantities.values():
        check_quantity(quantity)


def _change_all(kind: str, deltas: Mapping[int, Delta], note: Note) -> None:
    for product_id, delta in sorted(deltas.items()):
        if not _write(product_id, delta):
            raise StockConflict(f"product {product_id} cannot change by {delta}")
    _record(kind, deltas, note)


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


def _write(product_id: int, delta: Delta, condition: Q | None = None) -> bool:
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


def _record(kind: str, deltas: Mapping[int, Delta], note: Note) -> None:
    """Write the movements and flips of rows this transaction has just changed."""
    rows = Stock.objects.in_bulk(list(deltas))
    movements, flips = [], []
    for product_id, delta in sorted(deltas.items()):
        row = rows[product_id]
        after = Delta(row.on_hand, row.reserved, row.allocated)
        movements.append(_movement(product_id, kind, delta, after, note))
        quantity = row.on_hand - row.reserved
        before = _status(row, quantity - delta.on_hand + delta.reserved)
        if before != row.status:
            flips.append(_flip(row, before, row.status, quantity, note.cause))
    StockMovement.objects.bulk_create(movements, batch_size=BATCH)
    _write_flips(flips)


def _write_flips(flips: list[StatusChange]) -> None:
    """Record crossings, and tell other systems of them in the same transaction."""
    StatusChange.objects.bulk_create(flips, batch_size=BATCH)
    outbox.publish_flips(flips)


def _status(row: Stock, quantity: int) -> str:
    return stock_status(
        quantity,
        safety_threshold=row.safety_threshold,
        low_stock_level=row.low_stock_level,
    ).value


def _flip(
    row: Stock, before: str, after: str, quantity: int, cause: str
) -> StatusChange:
    return StatusChange(
        product_id=row.pk,
        from_status=before,
        to_status=after,
        sellable=max(0, quantity - row.safety_threshold),
        cause=cause,
    )


def _movement(
    product_id: int, kind: str, delta: Delta, after: Delta, note: Note
) -> StockMovement:
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
        actor=note.actor,
    )
