"""From an item's stream in Redis to PostgreSQL, exactly once.

`drain` reads the events after the stored offset, folds them, and writes events, orders,
stock, ledger and the new offset in one transaction. So a crash at any line, a repeat,
or a second runner changes nothing: the row lock lets one runner in, and the offset
commits together with what the events did.
"""

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from django.contrib.auth.models import User
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models import QuerySet

from catalog import outbox, stock
from catalog.models import StockMovement, WebhookEndpoint
from sales import copying, counters, folding, mails, orders
from sales.folding import Claimed, Entry, Fold, Poison
from sales.models import (
    FlashAdjustment,
    FlashEvent,
    FlashSaleItem,
    ItemState,
    Order,
    OrderLine,
    SaleTransition,
)

logger = logging.getLogger(__name__)

BATCH = 2000
UNDRAINED = (ItemState.WAITING, ItemState.SETTLED, ItemState.FROZEN)
Kind = StockMovement.Kind
Delta = stock.Delta
EVENT_FIELDS = (
    "item_id",
    "seq",
    "epoch",
    "kind",
    "order_id",
    "buyer",
    "quantity",
    "expires_at",
    "at",
    "details",
    "is_poison",
)
ORDER_FIELDS = (
    "id",
    "claim_id",
    "flash_item_id",
    "claim_seq",
    "buyer",
    "state",
    "expires_at",
    "created_at",
    "paid_at",
    "closed_at",
    "total",
    "user_id",
    "email",
)
LINE_FIELDS = ("order_id", "product_id", "sku", "name", "quantity", "price")
UPDATE_ORDERS = """
UPDATE sales_order SET state = now_is.state,
    expires_at = 'epoch'::timestamptz + now_is.expires_at * interval '1 millisecond',
    paid_at = 'epoch'::timestamptz + now_is.paid_at * interval '1 millisecond',
    closed_at = 'epoch'::timestamptz + now_is.closed_at * interval '1 millisecond'
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS now_is (claim_id, state, expires_at, paid_at, closed_at)
WHERE sales_order.claim_id = now_is.claim_id AND sales_order.flash_item_id = %s
"""


class Gap(Exception):
    """The stream does not continue where PostgreSQL stopped; the item is in doubt."""


def drain(
    item_id: int, *, budget: timedelta = timedelta(seconds=20), batch: int = BATCH
) -> int:
    """Bring an item's waiting events into PostgreSQL; return how many.

    Returns at once when somebody else is draining the item, or when it has no counters.
    Each batch is one transaction; stops when nothing waits or the budget is spent.
    A gap or a wrong epoch freezes the item and leaves its events where they are.
    Raises NotLoaded or Unsure when Redis does not answer.
    """
    deadline = time.monotonic() + budget.total_seconds()
    drained = refused = 0
    while True:
        try:
            count = _drain_batch(item_id, batch)
        except Gap as doubt:
            freeze(item_id, str(doubt))
            return drained
        except (IntegrityError, DataError, stock.StockConflict) as error:
            refused += 1
            if refused > 1:  # once may be a race: a regular order took the same id
                freeze(item_id, f"PostgreSQL refused the events: {error}")
                return drained
            continue
        drained += count
        if count < batch or time.monotonic() >= deadline:
            return drained


@transaction.atomic
def _drain_batch(item_id: int, batch: int) -> int:
    item = (
        FlashSaleItem.objects.select_for_update(skip_locked=True)
        .filter(state__in=[ItemState.LOADED, ItemState.PAUSED])
        .filter(pk=item_id)
        .first()
    )
    if item is None:
        return 0
    return drain_locked(item, batch)


def drain_locked(item: FlashSaleItem, batch: int = BATCH) -> int:
    """Drain one batch of an item whose row the caller has locked. Raises Gap."""
    waiting = counters.events(item.pk, after=item.last_seq, limit=batch)
    if waiting:
        check_contiguous(item, waiting)
        record(item, [parse(event) for event in waiting])
        # Lost at worst together with this process; recovery skips what is known.
        known = [e.fields["order_id"] for e in waiting if "order_id" in e.fields]
        transaction.on_commit(lambda: counters.forget_journal(item.pk, known))
    return len(waiting)


def check_contiguous(item: FlashSaleItem, waiting: Sequence[counters.Event]) -> None:
    """Raise Gap unless the events follow `last_seq` without a hole, in this epoch."""
    for expected, event in enumerate(waiting, start=item.last_seq + 1):
        if event.id != f"{expected}-0":
            raise Gap(f"event {expected} is missing; the next one is {event.id}")
        epoch = event.fields.get("epoch")
        if epoch is not None and epoch != str(item.epoch):
            raise Gap(f"event {event.id} is of epoch {epoch}, not {item.epoch}")


def record(item: FlashSaleItem, parsed: Sequence[tuple[Entry, bool]]) -> None:
    """Fold events into the locked item, its orders and its stock, and move the offset.

    Poison events are kept and counted, and change nothing else.
    """
    fold = Fold(counters=counters_of(item))
    _know_claims(item, fold, parsed)
    known = set(fold.claims)
    touched: dict[UUID, Decimal] = {}
    steps: list[tuple[str, Delta]] = []
    rows, folded = [], []
    poison = 0
    for entry, is_poison in parsed:
        if not is_poison:
            try:
                fold.apply(entry)
            except Poison as error:
                is_poison = True
                logger.error("flash item %s: poison event: %s", item.pk, error)
        rows.append(_event_row(item, entry, is_poison))
        if is_poison:
            poison += 1
            continue
        folded.append(entry)
        if entry.kind == "adjust":
            _adopt(item, entry)
        elif entry.order_id is not None:
            touched.setdefault(entry.order_id, item.price)
        step = _stock_step(item, entry)
        if step is not None:
            steps.append(step)
    copying.copy_in(FlashEvent, EVENT_FIELDS, rows)
    _insert_orders(item, fold, {pk: p for pk, p in touched.items() if pk not in known})
    _update_orders(item, fold, touched.keys() & known)
    _line_up_mails(item, fold, folded)
    _publish(item, fold, folded)
    first, last = parsed[0][0].seq, parsed[-1][0].seq
    if steps:
        cause = f"flash:{item.pk}:{first}-{last}"
        stock.apply_steps(item.product_id, steps, note=stock.Note(cause=cause))
    for name in folding.COUNTERS:
        setattr(item, name, getattr(fold.counters, name))
    item.last_seq = last
    item.poison_events += poison
    item.save()


def foresee(item: FlashSaleItem, *, up_to: int) -> Fold:
    """Counters and claims as they will be once the waiting events are drained.

    Writes nothing. Raises Gap when the events are not contiguous.
    """
    fold = Fold(counters=counters_of(item))
    position = FlashSaleItem(epoch=item.epoch, last_seq=item.last_seq)
    while position.last_seq < up_to:
        waiting = counters.events(item.pk, after=position.last_seq, limit=BATCH)
        if not waiting:
            raise Gap(f"event {position.last_seq + 1} is missing")
        check_contiguous(position, waiting)
        waiting = [event for event in waiting if event.seq <= up_to]
        parsed = [parse(event) for event in waiting]
        _know_claims(item, fold, parsed)
        for entry, is_poison in parsed:
            if not is_poison:
                with suppress(Poison):
                    fold.apply(entry)
        position.last_seq = waiting[-1].seq
    return fold


def counters_of(item: FlashSaleItem) -> folding.Counters:
    """The mirrored counters as PostgreSQL has them."""
    return folding.Counters(**{n: getattr(item, n) for n in folding.COUNTERS})


def freeze(item_id: int, why: str) -> bool:
    """Stop an item that is in doubt, in Redis first; recovery takes it from there.

    Returns whether Redis admits nobody any more, whichever life it holds.
    """
    logger.error("flash item %s is frozen: %s", item_id, why)
    is_closed = True
    try:
        epoch = counters.snapshot(item_id).epoch
        counters.adjust(
            item_id, epoch=epoch, verified=epoch, fenced=False, state="frozen"
        )
    except (counters.Unreachable, counters.Unsure):
        is_closed = False
        logger.warning("flash item %s: Redis could not be told", item_id)
    except counters.NotLoaded:
        logger.info("flash item %s: nothing to close", item_id)
    with transaction.atomic():
        item = FlashSaleItem.objects.select_for_update().get(pk=item_id)
        if item.state in (ItemState.LOADED, ItemState.PAUSED):
            move_item(item, ItemState.FROZEN, note=why)
    return is_closed


def move_item(
    item: FlashSaleItem, state: str, *, note: str = "", actor: User | None = None
) -> None:
    """Put a locked item into another state, with its line in the log."""
    SaleTransition.objects.create(
        sale_id=item.sale_id,
        item=item,
        from_state=item.state,
        to_state=state,
        note=note[:200],
        actor=actor,
    )
    item.state = state
    sound = state in (ItemState.LOADED, ItemState.SETTLED)
    item.doubt = "" if sound else note[:200]
    item.save(update_fields=["state", "doubt"])


def moment(milliseconds: int) -> datetime:
    """Redis time as a datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def parse(event: counters.Event) -> tuple[Entry, bool]:
    """The event's entry, and whether it is poison."""
    try:
        return Entry.parse(event.seq, event.fields), False
    except Poison as error:
        logger.error("poison event %s: %s", event.id, error)
        raw = {_plain(k): _plain(v) for k, v in event.fields.items()}
        now = int(time.time() * 1000)
        return Entry(event.seq, 0, "poison", now, details=raw), True


def _plain(text: str) -> str:
    """Text that a JSON field takes, cut to a sensible length."""
    return text[:500].replace("\x00", "\\x00")


def _event_row(item: FlashSaleItem, entry: Entry, is_poison: bool) -> tuple[Any, ...]:
    """The values of EVENT_FIELDS."""
    return (
        item.pk,
        entry.seq,
        entry.epoch,
        entry.kind,
        entry.order_id,
        entry.buyer,
        entry.quantity,
        moment(entry.expires_at) if entry.expires_at else None,
        moment(entry.at),
        dict(entry.details),
        is_poison,
    )


def _know_claims(
    item: FlashSaleItem, fold: Fold, parsed: Iterable[tuple[Entry, bool]]
) -> None:
    """Tell the fold of the orders that the events are about."""
    ids = {entry.order_id for entry, _ in parsed if entry.order_id is not None}
    fold.claims.update(claims_of(item, ids - fold.claims.keys()))


def claims_of(
    item: FlashSaleItem, claim_ids: Iterable[UUID] | None = None
) -> dict[UUID, Claimed]:
    """An item's orders as claims, all of them or those named."""
    orders: QuerySet[Order] = Order.objects.filter(flash_item=item)
    if claim_ids is not None:
        # One array, where `claim_id__in` would send thousands of parameters.
        orders = orders.extra(
            where=["sales_order.claim_id = ANY(%s::uuid[])"],
            params=[copying.array(claim_ids)],
        )
    rows = orders.values_list(
        "claim_id",
        "state",
        "buyer",
        "lines__quantity",
        "expires_at",
        "claim_seq",
        "created_at",
        "paid_at",
        "closed_at",
    )
    return {
        claim_id: Claimed(
            state,
            buyer,
            quantity,
            milliseconds(expires_at),
            seq,
            milliseconds(created_at),
            milliseconds(paid_at) if paid_at else None,
            milliseconds(closed_at) if closed_at else None,
        )
        for (
            claim_id,
            state,
            buyer,
            quantity,
            expires_at,
            seq,
            created_at,
            paid_at,
            closed_at,
        ) in rows
        if claim_id is not None and seq is not None
    }


def milliseconds(at: datetime) -> int:
    """A datetime as Redis time."""
    return round(at.timestamp() * 1000)


def _stock_step(item: FlashSaleItem, entry: Entry) -> tuple[str, Delta] | None:
    """What one event does to the Stock row, and the ledger's word for it."""
    quantity = entry.quantity
    if entry.kind in ("claim", "reclaim"):
        return Kind.RESERVE, Delta(reserved=quantity, allocated=-quantity)
    if entry.kind == "release":
        return Kind.RELEASE, Delta(reserved=-quantity, allocated=quantity)
    if entry.kind == "confirm":
        return Kind.SALE, Delta(on_hand=-quantity, reserved=-quantity)
    if entry.kind == "refund" and folding.restocks(entry):
        # A settled item holds nothing any more: its units go to the regular shop.
        settled = item.state == ItemState.SETTLED
        return Kind.RETURN, Delta(
            on_hand=quantity, allocated=0 if settled else quantity
        )
    if entry.kind == "adjust" and (taken := int(entry.details["delta"])) < 0:
        return Kind.FLASH_RETURN, Delta(allocated=taken)
    return None  # units added were allocated before Redis heard of them


def _adopt(item: FlashSaleItem, entry: Entry) -> None:
    """Note that Redis took an adjustment over; a new price counts from this event."""
    if ref := entry.details.get("ref"):
        made = FlashAdjustment.objects.filter(pk=ref, item=item)
        price = made.values_list("price", flat=True).first()
        if price is not None:
            item.price = price
        made.update(applied_seq=entry.seq)


def _insert_orders(
    item: FlashSaleItem, fold: Fold, prices: Mapping[UUID, Decimal]
) -> None:
    """Insert the orders of new claims, each at the price of its moment."""
    taken = _taken(prices)
    users = _users(fold.claims[claim_id].buyer for claim_id in prices)
    product = item.product
    rows, lines = [], []
    for claim_id, price in prices.items():
        claimed = fold.claims[claim_id]
        order_id = claim_id
        if claim_id in taken:
            order_id = uuid5(claim_id, f"flash:{item.pk}")
        user = users.get(claimed.buyer)
        rows.append(
            (
                order_id,
                claim_id,
                item.pk,
                claimed.seq,
                claimed.buyer,
                str(claimed.state),
                moment(claimed.expires_at),
                moment(claimed.claimed_at),
                moment(claimed.paid_at) if claimed.paid_at else None,
                moment(claimed.closed_at) if claimed.closed_at else None,
                price * claimed.quantity,
                user.pk if user else None,
                user.email if user else "",
            )
        )
        line = (order_id, product.pk, product.sku, product.name)
        lines.append((*line, claimed.quantity, price))
    copying.copy_in(Order, ORDER_FIELDS, rows)
    copying.copy_in(OrderLine, LINE_FIELDS, lines)


def _taken(order_ids: Iterable[UUID]) -> set[UUID]:
    """Those of the ids that are some order's already."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM sales_order WHERE id = ANY(%s::uuid[])",
            [copying.array(order_ids)],
        )
        return {row[0] for row in cursor.fetchall()}


def _update_orders(
    item: FlashSaleItem, fold: Fold, claim_ids: Collection[UUID]
) -> None:
    """Bring the states of known orders up to date, in one statement."""
    if not claim_ids:
        return
    claims = [fold.claims[claim_id] for claim_id in claim_ids]
    columns = (
        claim_ids,
        [str(claimed.state) for claimed in claims],
        [claimed.expires_at for claimed in claims],
        [claimed.paid_at for claimed in claims],
        [claimed.closed_at for claimed in claims],
    )
    with connection.cursor() as cursor:
        cursor.execute(UPDATE_ORDERS, [*map(copying.array, columns), item.pk])


def _publish(item: FlashSaleItem, fold: Fold, entries: Sequence[Entry]) -> None:
    """Tell other systems, in the transaction of what they are told."""
    if not WebhookEndpoint.objects.filter(is_active=True).exists():
        return
    ended = {"confirm": "paid", "release": "expired"}
    for kind, state in ended.items():
        ids = [
            entry.order_id
            for entry in entries
            if entry.kind == kind
            and entry.order_id is not None
            and (kind == "confirm" or entry.details.get("reason") == "expired")
        ]
        rows = Order.objects.filter(flash_item=item, claim_id__in=ids)
        outbox.publish(
            f"order.{state}", [{**orders.published(o), "state": state} for o in rows]
        )
    sold_out = {"sale": item.sale.slug, "sku": item.product.sku, "units": item.units}
    outbox.publish("sale.sold_out", [sold_out] * fold.flips)


def _line_up_mails(item: FlashSaleItem, fold: Fold, entries: Sequence[Entry]) -> None:
    """Line up what shoppers are told of the states their orders have come to."""
    ended = {e.order_id for e in entries if e.kind in ("confirm", "release", "refund")}
    states = {pk: fold.claims[pk].state for pk in ended if pk is not None}
    for state, kind in orders.MAILED.items():
        if ids := [pk for pk, now in states.items() if now == state]:
            rows = Order.objects.filter(flash_item=item, claim_id__in=ids)
            mails.line_up(kind, rows.exclude(email="").only("email"))


def _users(buyers: Iterable[str]) -> dict[str, User]:
    """The accounts behind `u:<id>` buyers, by buyer; guests have none."""
    ids = {int(b[2:]) for b in buyers if b.startswith("u:") and b[2:].isdigit()}
    found = User.objects.in_bulk([pk for pk in ids if pk < 2**31]) if ids else {}
    return {f"u:{pk}": user for pk, user in found.items()}


def lag(item: FlashSaleItem) -> int:
    """How many events wait in Redis for this item."""
    return max(0, counters.snapshot(item.pk).seq - item.last_seq)


def behind() -> list[int]:
    """Ids of loaded items whose counters have moved on from what is in PostgreSQL.

    One query and one trip to Redis for all items, so an idle shop costs little. Items
    that Redis has lost are not among them: recovery looks for those.
    """
    offsets = dict(
        FlashSaleItem.objects.exclude(state__in=UNDRAINED)
        .order_by("pk")
        .values_list("pk", "last_seq")
    )
    if not offsets:
        return []
    found = counters.snapshots(list(offsets))
    return [pk for pk, s in found.items() if s.seq != offsets[pk]]


def oldest_waiting(item: FlashSaleItem) -> datetime | None:
    """When the oldest event that is not in PostgreSQL yet was written, if there is one.

    Raises NotLoaded or Unsure when Redis does not answer.
    """
    waiting = counters.events(item.pk, after=item.last_seq, limit=1)
    if not waiting or not waiting[0].fields.get("at", "").isdigit():
        return None
    return moment(int(waiting[0].fields["at"]))


def loaded_items() -> list[int]:
    """Ids of the items whose counters should be in Redis, in key order."""
    loaded = FlashSaleItem.objects.exclude(
        state__in=[ItemState.WAITING, ItemState.SETTLED]
    )
    return list(loaded.order_by("pk").values_list("pk", flat=True))
