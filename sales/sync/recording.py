"""A batch of events becomes rows: ledger, orders, stock, offset, all or none."""

import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from catalog import copying, stock
from catalog.models import StockMovement
from sales import folding
from sales.folding import Entry, Fold, Poison
from sales.models import FlashAdjustment, FlashEvent, FlashSaleItem, ItemState
from sales.sync import announcing, order_rows, stored, times

logger = logging.getLogger(__name__)

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


def record(item: FlashSaleItem, parsed: Sequence[tuple[Entry, bool]]) -> None:
    """Fold events into the locked item, its orders and its stock, and move the offset.

    Poison events are kept and counted, and change nothing else.
    """
    fold = Fold(counters=stored.counters_of(item))
    stored.know_claims(item, fold, parsed)
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
    order_rows.insert_orders(
        item, fold, {pk: p for pk, p in touched.items() if pk not in known}
    )
    order_rows.update_orders(item, fold, touched.keys() & known)
    announcing.line_up_mails(item, fold, folded)
    announcing.publish(item, fold, folded)
    first, last = parsed[0][0].seq, parsed[-1][0].seq
    if steps:
        cause = f"flash:{item.pk}:{first}-{last}"
        stock.apply_steps(item.product_id, steps, note=stock.Note(cause=cause))
    for name in folding.COUNTERS:
        setattr(item, name, getattr(fold.counters, name))
    item.last_seq = last
    item.poison_events += poison
    item.save()


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
        times.moment(entry.expires_at) if entry.expires_at else None,
        times.moment(entry.at),
        dict(entry.details),
        is_poison,
    )


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
