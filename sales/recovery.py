"""From a lost or doubtful Redis back to a live sale, without guessing.

Redis forgets its scripts when it restarts or fails over, so every claim says NotLoaded
until this module has looked at each loaded item of the node:

1. Its keys are whole, of the same epoch, not behind PostgreSQL, contiguous, and the
   last event known here is the one there: the tail is drained and the sale goes on.
2. Otherwise what is contiguous is drained, and the counters are rebuilt from
   PostgreSQL under a new epoch, with claims that only the journal knows. Event numbers
   jump, so that none is used twice.

Only then are the scripts loaded, on the connection everything was verified on.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from catalog import stock
from sales import counters, flash, floors, sync
from sales.counters import NotLoaded, Snapshot, StoredClaim
from sales.folding import HELD, Claimed, Entry
from sales.models import (
    FlashSaleItem,
    ItemState,
    OrderState,
    Payment,
    PaymentState,
    SaleState,
)

logger = logging.getLogger(__name__)

CHUNK = 1000
# A rebuilt item continues with numbers no lost event can have had.
JUMP = 1_000_000


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found and done for one item, in sentences for an operator."""

    item_id: int
    found: str
    done: str
    rebuilt: bool = False


def open_fence(*, force: bool = False) -> list[Recovered]:
    """Verify every node that has no scripts, then load them; return what was done.

    Safe to call at any time and by several processes at once: each item is handled
    under its row lock. With `force`, every loaded item is looked at. Raises NotLoaded
    or Unsure when Redis does not answer: the caller tries again later.
    """
    recovered: list[Recovered] = []
    with counters.patience(10):
        for items in _nodes().values():
            if force or not counters.has_scripts(items[0]):
                recovered += _verify_node(items)
            else:
                doubtful = FlashSaleItem.objects.filter(pk__in=items).filter(
                    state__in=[ItemState.FROZEN, ItemState.RECOVERING]
                )
                recovered += [
                    _attempt(pk) for pk in doubtful.values_list("pk", flat=True)
                ]
    return recovered


def heal() -> list[Recovered]:
    """Recover every item whose keys are missing or damaged, and closed fences."""
    recovered = open_fence()
    with counters.patience(10):
        for item_id in sync.loaded_items():
            try:
                is_whole = counters.snapshot(item_id).is_whole
            except NotLoaded:
                is_whole = False
            if not is_whole:
                recovered.append(_attempt(item_id))
    return recovered


@transaction.atomic
def recover(item_id: int) -> Recovered:
    """Verify one item and drain its tail, or rebuild it; nobody is admitted meanwhile.

    One at a time by row lock, safe to repeat after a crash at any line.
    """
    item = (
        FlashSaleItem.objects.select_for_update(of=("self",))
        .select_related("sale")
        .get(pk=item_id)
    )
    if not item.is_loaded:
        return Recovered(item_id, "the item is not loaded", "nothing to do")
    doubt = _doubt(item)
    if doubt:
        outcome = _rebuild(item, doubt)
    else:
        while sync.drain_locked(item):
            pass
        outcome = Recovered(item_id, "the counters are whole", "the tail is drained")
    state = _resume_state(item)
    if item.state != state:
        sync.move_item(item, state, note=f"{outcome.found}; {outcome.done}")
    counters.adjust(
        item_id,
        epoch=item.epoch,
        verified=item.epoch,
        state=flash.wanted_state(item),
        floor=floors.floor_of(stock.lock([item.product_id])[item.product_id]),
    )
    logger.warning("flash item %s: %s; %s", item_id, outcome.found, outcome.done)
    return outcome


def _nodes() -> dict[str, list[int]]:
    nodes: dict[str, list[int]] = {}
    for item_id in sync.loaded_items():
        nodes.setdefault(counters.node_of(item_id), []).append(item_id)
    return nodes


def _verify_node(items: Sequence[int]) -> list[Recovered]:
    """Look at all items of a node on one connection, then load its scripts."""
    connection = counters.client()
    recovered = [_attempt(item_id) for item_id in items]
    if counters.client() is not connection:
        raise NotLoaded("the connection was lost while verifying")
    counters.load_scripts(items[0])
    return recovered


def _attempt(item_id: int) -> Recovered:
    """Recover one item; one that cannot be is left frozen and stops no other."""
    try:
        return recover(item_id)
    except (NotLoaded, counters.Unsure):
        raise
    except Exception as error:
        logger.exception("flash item %s cannot be recovered", item_id)
        sync.freeze(item_id, f"recovery failed: {error}")
        return Recovered(item_id, f"recovery failed: {error}", "left frozen")


def _doubt(item: FlashSaleItem) -> str:
    """Why the counters in Redis cannot be trusted; empty if they can."""
    try:
        s = counters.snapshot(item.pk)
    except NotLoaded as error:
        return str(error)
    checks = {
        "a key of the item is missing": s.is_whole,
        f"Redis has epoch {s.epoch}, not {item.epoch}": s.epoch == item.epoch,
        f"Redis is behind: event {s.seq} of {item.last_seq}": s.seq >= item.last_seq,
        "its last event is not its number": s.last_id == f"{s.seq}-0",
        "its counters do not add up": s.units == s.left + s.held + s.paying + s.paid,
        "it was being rebuilt": s.state != "recovering",
        "its last event known here is another one there": _same_last(item),
    }
    for doubt, holds in checks.items():
        if not holds:
            return doubt
    try:
        _check_tail(item)
    except sync.Gap as gap:
        return str(gap)
    return ""


def _same_last(item: FlashSaleItem) -> bool:
    """Whether the event PostgreSQL stopped at is the same in Redis."""
    if not item.last_seq:
        return True
    there = counters.event(item.pk, item.last_seq)
    here = item.events.filter(seq=item.last_seq).first()
    if there is None or here is None or here.is_poison:
        return there is not None or here is None
    entry = Entry.parse(there.seq, there.fields)
    return (entry.kind, entry.order_id, entry.at) == (
        here.kind,
        here.order_id,
        sync.milliseconds(here.at),
    )


def _check_tail(item: FlashSaleItem) -> None:
    """Raise Gap if the waiting events are not contiguous."""
    after = item.last_seq
    while waiting := counters.events(item.pk, after=after, limit=sync.BATCH):
        position = FlashSaleItem(epoch=item.epoch, last_seq=after)
        sync.check_contiguous(position, waiting)
        after = waiting[-1].seq


def _rebuild(item: FlashSaleItem, doubt: str) -> Recovered:
    """New epoch, counters and claims from PostgreSQL and the journal.

    The keys are marked `recovering` until all is back, so a crash in between is seen.
    """
    _close(item)
    drained = _drain_what_is_sure(item)
    found = _from_journal(item)
    followed = _from_payments(item)
    claims = sync.claims_of(item)
    item.epoch += 1
    item.last_seq += JUMP
    item.save()
    counters.delete(item.pk)
    counters.preload(
        item.pk, flash.first_counters(item, state="recovering"), event="recover"
    )
    for chunk in _chunks(claims, item):
        counters.restore(item.pk, epoch=item.epoch, claims=chunk)
    while sync.drain_locked(item):
        pass
    _check_rebuilt(item, counters.snapshot(item.pk))
    return Recovered(
        item.pk,
        doubt,
        f"rebuilt from {len(claims)} orders under epoch {item.epoch}, after draining "
        f"{drained} events, taking {found} claims from the journal and "
        f"{followed} steps from payments",
        rebuilt=True,
    )


def _close(item: FlashSaleItem) -> None:
    """Keep claims out while the item is rebuilt; missing keys keep them out already."""
    try:
        counters.adjust(
            item.pk, epoch=item.epoch, verified=item.epoch, state="recovering"
        )
    except NotLoaded:
        logger.info("flash item %s: nothing to close", item.pk)


def _drain_what_is_sure(item: FlashSaleItem) -> int:
    """Drain waiting events of this epoch as far as they are contiguous."""
    drained = 0
    try:
        if not _same_last(item):
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
    noted = counters.journaled(item.pk)
    known = sync.claims_of(item, noted)
    entries: list[Entry] = []
    left = item.left
    for order_id, stored in sorted(noted.items(), key=lambda pair: pair[1].seq):
        if order_id in known:
            continue
        if stored.quantity > left:
            logger.error("claim %s from the journal finds no units", order_id)
            continue
        left -= stored.quantity
        entries.append(
            _entry(
                item,
                len(entries),
                "claim",
                order_id,
                stored.buyer,
                stored.quantity,
                expires_at=stored.expires_at,
                at=stored.expires_at - flash.hold_milliseconds(),
            )
        )
    _record(item, entries)
    return len(entries)


def _from_payments(item: FlashSaleItem) -> int:
    """Record the steps that payments prove and whose events are lost."""
    entries: list[Entry] = []
    rows = Payment.objects.filter(
        order__flash_item=item, order__state__in=[OrderState.HELD, OrderState.PAYING]
    ).select_related("order")
    claims = sync.claims_of(item, [p.order.claim_id for p in rows if p.order.claim_id])
    for payment in rows.order_by("created_at"):
        claim_id = payment.order.claim_id
        if claim_id is None:
            continue
        claimed = claims[claim_id]
        steps = []
        if payment.state != PaymentState.DECLINED and claimed.state == HELD:
            steps.append("begin")
        if payment.handled_at and payment.state == PaymentState.PAID:
            steps.append("confirm")
        if payment.handled_at and payment.state == PaymentState.DECLINED:
            steps += ["begin", "release"] if claimed.state == HELD else ["release"]
        for kind in steps:
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


def _entry(
    item: FlashSaleItem,
    offset: int,
    kind: str,
    order_id: UUID,
    buyer: str,
    quantity: int,
    *,
    expires_at: int | None = None,
    at: int | None = None,
    reason: str = "",
) -> Entry:
    """An event that PostgreSQL writes itself, because Redis lost it."""
    return Entry(
        seq=item.last_seq + 1 + offset,
        epoch=item.epoch,
        kind=kind,
        at=at or sync.milliseconds(timezone.now()),
        order_id=order_id,
        buyer=buyer,
        quantity=quantity,
        expires_at=expires_at,
        details={"reason": reason, "source": "recovery"},
    )


def _record(item: FlashSaleItem, entries: Sequence[Entry]) -> None:
    if entries:
        sync.record(item, [(entry, False) for entry in entries])


def _chunks(
    claims: dict[UUID, Claimed], item: FlashSaleItem
) -> Iterator[list[tuple[UUID, StoredClaim]]]:
    stored = (
        (
            order_id,
            StoredClaim(
                claimed.state,
                claimed.buyer,
                claimed.quantity,
                claimed.expires_at,
                claimed.seq,
                item.left,
                False,
            ),
        )
        for order_id, claimed in claims.items()
    )
    while chunk := list(islice(stored, CHUNK)):
        yield chunk


def _check_rebuilt(item: FlashSaleItem, s: Snapshot) -> None:
    """Raise NotLoaded unless Redis now says what PostgreSQL says."""
    here = sync.counters_of(item)
    there = (s.units, s.left, s.floor, s.held, s.paying, s.paid, s.released)
    mine = (
        here.units,
        here.left,
        here.floor,
        here.held,
        here.paying,
        here.paid,
        here.released,
    )
    if there != mine or s.seq != item.last_seq:
        raise NotLoaded(f"item {item.pk} was rebuilt as {there}, not {mine}")


def _resume_state(item: FlashSaleItem) -> str:
    paused = item.sale.state == SaleState.PAUSED
    return ItemState.PAUSED if paused else ItemState.LOADED
