"""Into PostgreSQL before anything is deleted: events, journal, what payments prove."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from sales import counters, flash, sync
from sales.counters import NotLoaded, StoredClaim
from sales.folding import CANCELLED, EXPIRED, HELD, PAID, Claimed, Entry
from sales.models import FlashSaleItem, ItemState, OrderState, Payment, PaymentState
from sales.recovery import doubts

logger = logging.getLogger(__name__)

# A rebuilt item continues with numbers no lost event can have had.
JUMP = 1_000_000


def save_what_is_left(item: FlashSaleItem, doubt: str) -> None:
    """Take all into PostgreSQL that it can get, before anything is deleted."""
    _close(item)
    drained = _drain_what_is_sure(item)
    item.last_seq += JUMP
    found = _from_journal(item)
    followed = _from_payments(item)
    item.epoch += 1
    item.save(update_fields=["epoch", "last_seq"])
    saved = (
        f"{doubt}; saved {drained} events, {found} claims from the journal, "
        f"{followed} steps from payments"
    )
    sync.move_item(item, ItemState.RECOVERING, note=saved)


def adjust(item: FlashSaleItem, state: str, **floor: int) -> None:
    """Change an item that is not open yet, on a node that may not be."""
    epoch = item.epoch
    changes: dict[str, Any] = {"state": state, "verified": epoch, **floor}
    counters.adjust(item.pk, epoch=epoch, fenced=False, **changes)


def _close(item: FlashSaleItem) -> None:
    """Keep everybody out from here on; lost keys keep them out already."""
    try:
        adjust(item, "recovering")
    except counters.Unreachable:
        raise
    except NotLoaded:
        logger.info("flash item %s: nothing to close", item.pk)


def _drain_what_is_sure(item: FlashSaleItem) -> int:
    """Drain waiting events of this epoch as far as they are contiguous."""
    drained = 0
    try:
        if not doubts.same_last(item):
            return 0
        while waiting := counters.events(
            item.pk, after=item.last_seq, limit=sync.BATCH
        ):
            sure: list[counters.Event] = []
            for expected, event in enumerate(waiting, start=item.last_seq + 1):
                if event.id != f"{expected}-0" or event.fields.get("epoch") != str(
                    item.epoch
                ):
                    break
                sure.append(event)
            if sure:
                sync.record(item, [sync.parse(event) for event in sure])
            drained += len(sure)
            if len(sure) < len(waiting):
                break
    except NotLoaded:
        pass
    return drained


def _from_journal(item: FlashSaleItem) -> int:
    """Record claims that buyers were told about and that only the journal knows."""
    counters.close_journal(item.pk, item.epoch)
    noted = counters.journaled(item.pk)
    known = sync.claims_of(item, noted)
    entries: list[Entry] = []
    left = item.left
    steps = [(_lost_steps(known.get(pk), note), pk, note) for pk, note in noted.items()]
    # What is released first may be what a later claim got.
    for kinds, order_id, stored in sorted(
        steps, key=lambda step: (step[0] != ["release"], step[2].seq)
    ):
        if kinds[:1] in (["claim"], ["reclaim"]) and stored.quantity > left:
            logger.error("claim %s from the journal finds no units", order_id)
            continue
        for kind in kinds:
            left += stored.quantity if kind == "release" else -stored.quantity
            entries.append(
                _entry(
                    item,
                    len(entries),
                    kind,
                    order_id,
                    stored.buyer,
                    stored.quantity,
                    expires_at=stored.expires_at if kind != "release" else None,
                    reason=stored.state,
                )
            )
    _record(item, entries)
    return len(entries)


def _lost_steps(known: Claimed | None, noted: StoredClaim) -> list[str]:
    """The steps a noted claim took that are not recorded."""
    is_cancelled = noted.state == CANCELLED
    if known is None:
        return ["claim", "release"] if is_cancelled else ["claim"]
    if is_cancelled:
        same_hold = known.expires_at == noted.expires_at
        return ["release"] if known.state == HELD and same_hold else []
    released = known.state in (EXPIRED, CANCELLED)
    return ["reclaim"] if released and noted.expires_at > known.expires_at else []


def _from_payments(item: FlashSaleItem) -> int:
    """Record the steps that payments prove and whose events are lost."""
    Payment.objects.filter(
        order__flash_item=item,
        order__state__in=[OrderState.EXPIRED, OrderState.CANCELLED],
        state=PaymentState.PAID,
    ).update(handled_at=None)  # claimed again or sent back, by `follow_payments`
    payments: dict[UUID, list[Payment]] = {}
    for payment in _telling(item).select_related("order").order_by("created_at", "pk"):
        payments.setdefault(payment.order.claim_id, []).append(payment)  # type: ignore[arg-type]
    entries: list[Entry] = []
    again = _held_again(item)
    for claim_id, claimed in sync.claims_of(item, payments).items():
        for kind in _proven(claimed, payments[claim_id], again.get(claim_id)):
            entries.append(
                _entry(
                    item,
                    len(entries),
                    kind,
                    claim_id,
                    claimed.buyer,
                    claimed.quantity,
                    reason="declined" if kind == "release" else "",
                )
            )
    _record(item, entries)
    return len(entries)


def _telling(item: FlashSaleItem) -> QuerySet[Payment]:
    """Payments of orders that may have gone on; not those of the many that are paid."""
    refunded = Payment.objects.filter(state=PaymentState.REFUNDED).values("order")
    is_open = Q(order__state__in=[OrderState.HELD, OrderState.PAYING])
    is_refunded = Q(order__state=OrderState.PAID, order__in=refunded)
    rows = Payment.objects.filter(order__flash_item=item)
    return rows.filter(is_open | is_refunded, order__claim_id__isnull=False)


def _held_again(item: FlashSaleItem) -> dict[UUID, datetime]:
    """When held claims whose payment was declined were last claimed again."""
    declined = Payment.objects.filter(
        order__flash_item=item,
        order__state=OrderState.HELD,
        state=PaymentState.DECLINED,
    )
    events = item.events.filter(kind="reclaim", is_poison=False)
    events = events.filter(order_id__in=declined.values("order__claim_id"))
    return dict(events.order_by().values_list("order_id").annotate(Max("at")))


def _proven(
    claimed: Claimed, payments: Sequence[Payment], again: datetime | None
) -> list[str]:
    """The steps that a claim's payments, oldest first, show it has taken.

    `again` is when it was claimed again: what was declined before that is over.
    """
    by_state = {payment.state: payment for payment in payments}
    paid, declined = (
        by_state.get(PaymentState.PAID),
        by_state.get(PaymentState.DECLINED),
    )
    if claimed.state == PAID:
        return ["refund"] if PaymentState.REFUNDED in by_state and not paid else []
    begin = ["begin"] if claimed.state == HELD else []
    if paid:
        return [*begin, "confirm"]
    if PaymentState.PENDING in by_state:
        return begin
    if declined:
        is_over = again is not None and declined.created_at < again
        return [] if begin and is_over else [*begin, "release"]
    return []


def _entry(
    item: FlashSaleItem,
    offset: int,
    kind: str,
    order_id: UUID,
    buyer: str,
    quantity: int,
    *,
    expires_at: int | None = None,
    reason: str = "",
) -> Entry:
    """An event that PostgreSQL writes itself, because Redis lost it.

    A hold began that long before its end, or now, if it was given more time.
    """
    now = sync.milliseconds(timezone.now())
    began = expires_at - flash.hold_milliseconds() if expires_at else now
    return Entry(
        seq=item.last_seq + 1 + offset,
        epoch=item.epoch,
        kind=kind,
        at=min(now, began),
        order_id=order_id,
        buyer=buyer,
        quantity=quantity,
        expires_at=expires_at,
        details={"reason": reason, "target": HELD, "source": "recovery"},
    )


def _record(item: FlashSaleItem, entries: Sequence[Entry]) -> None:
    if entries:
        sync.record(item, [(entry, False) for entry in entries])
