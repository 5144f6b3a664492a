"""Into PostgreSQL before anything is deleted: events, journal, what payments prove."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from sales import counters, flash, sync
from sales.counters import NotLoaded, StoredClaim
from sales.folding import CANCELLED, EXPIRED, HELD, PAID, PAYING, Claimed, Entry
from sales.models import FlashSaleItem, ItemState, OrderState, Payment, PaymentState
from sales.recovery import doubts

logger = logging.getLogger(__name__)

# A rebuilt item continues with numbers no lost event can have had.
JUMP = 1_000_000
LATER = datetime.max.replace(tzinfo=UTC)


def save_what_is_left(item: FlashSaleItem, doubt: str) -> None:
    """Take all into PostgreSQL that it can get, before anything is deleted."""
    _close(item)
    drained = _drain_what_is_sure(item)
    recorded = item.last_seq
    item.last_seq += JUMP
    found, held_again = _from_journal(item, after=recorded)
    followed = _from_payments(item, held_again)
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


def _from_journal(item: FlashSaleItem, *, after: int) -> tuple[int, list[UUID]]:
    """Record what buyers were told, and only the journal knows.

    Of a recorded claim that is what was noted `after` the last event that was drained.
    Returns how many steps, and the claims that were held again.
    """
    counters.close_journal(item.pk, item.epoch)
    notes = counters.journaled(item.pk)
    known = sync.claims_of(item, notes)
    noted = {
        pk: note.claim
        for pk, note in notes.items()
        if note.as_of > after or pk not in known
    }
    held_again: list[UUID] = []
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
        if "reclaim" in kinds:
            held_again.append(order_id)
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
                    reason=_why(known.get(order_id)) if kind == "release" else "",
                )
            )
    _record(item, entries)
    return len(entries), held_again


def _lost_steps(known: Claimed | None, noted: StoredClaim) -> list[str]:
    """The steps from what is recorded of a claim to what was noted of it later."""
    is_cancelled = noted.state == CANCELLED
    if known is None:
        return ["claim", "release"] if is_cancelled else ["claim"]
    if known.state in (EXPIRED, CANCELLED):
        return [] if is_cancelled else ["reclaim"]
    if known.state not in (HELD, PAYING):
        return []
    if is_cancelled:
        return ["release"]
    same_hold = known.state == HELD and known.expires_at == noted.expires_at
    return [] if same_hold else ["release", "reclaim"]


def _why(known: Claimed | None) -> str:
    """Why a claim was released: what is in payment ends by a decline alone."""
    return "declined" if known and known.state == PAYING else "cancelled"


def _from_payments(item: FlashSaleItem, held_again: Sequence[UUID]) -> int:
    """Record the steps that payments prove and whose events are lost.

    Of claims that the journal knew to be held again, all declines are over: if one came
    later, and is lost, the hold ends by itself.
    """
    Payment.objects.filter(
        order__flash_item=item,
        order__state__in=[OrderState.EXPIRED, OrderState.CANCELLED],
        state=PaymentState.PAID,
    ).update(handled_at=None)  # claimed again or sent back, by `follow_payments`
    payments: dict[UUID, list[Payment]] = {}
    for payment in _telling(item).select_related("order").order_by("created_at", "pk"):
        payments.setdefault(payment.order.claim_id, []).append(payment)  # type: ignore[arg-type]
    entries: list[Entry] = []
    again = _held_again(item) | dict.fromkeys(held_again, LATER)
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
