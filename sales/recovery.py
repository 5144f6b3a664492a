"""From a lost or doubtful Redis back to a live sale, without guessing.

Redis forgets its scripts when it restarts or fails over, so every claim says NotLoaded
until this module has looked at each loaded item of the node:

1. Its keys are whole, of the same epoch, not behind PostgreSQL, contiguous; the last
   event known here is the one there; and the events that wait explain the difference
   between the counters here and there. Then they are drained and the sale goes on.
2. Otherwise PostgreSQL takes all it can get: the events that are contiguous, claims
   that only the journal knows, steps that payments prove. It commits that with a new
   epoch, and only then are the keys deleted and put back from it. Event numbers jump,
   so that none is used twice.

PostgreSQL commits before Redis opens, so a crash at any line leaves it closed. Only
after all items of a node were looked at are its scripts loaded.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from catalog import stock
from sales import counters, flash, floors, restoring, sync
from sales.counters import NotLoaded, Snapshot, StoredClaim
from sales.folding import (
    CANCELLED,
    COUNTERS,
    EXPIRED,
    HELD,
    PAID,
    Claimed,
    Counters,
    Entry,
)
from sales.models import (
    FlashSaleItem,
    ItemState,
    OrderState,
    Payment,
    PaymentState,
    SaleTransition,
)

logger = logging.getLogger(__name__)

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
        for node, items in _nodes().items():
            if force or not counters.has_scripts(items[0]):
                recovered += _verify_node(node, items[0])
            else:
                doubtful = FlashSaleItem.objects.filter(pk__in=items).filter(
                    state__in=[ItemState.FROZEN, ItemState.RECOVERING]
                )
                recovered += [
                    _attempt(pk) for pk in doubtful.values_list("pk", flat=True)
                ]
    return recovered


def heal() -> list[Recovered]:
    """Recover every item that looks lost, damaged or left closed, and open fences."""
    recovered = open_fence()
    seen = {line.item_id for line in recovered}
    with counters.patience(10):
        for item in FlashSaleItem.objects.filter(pk__in=sync.loaded_items()):
            if item.pk not in seen and _looks_wrong(item):
                recovered.append(_attempt(item.pk))
    return recovered


def recover(item_id: int, *, doubt: str = "") -> Recovered:
    """Verify one item and drain its tail, or rebuild it; nobody is admitted meanwhile.

    With `doubt`, what the audit has found, it is rebuilt in any case. One at a time by
    row lock, safe to repeat after a crash at any line.
    """
    outcome = _look(item_id, doubt) or _put_back(item_id)
    _open(item_id)
    logger.warning("flash item %s: %s; %s", item_id, outcome.found, outcome.done)
    return outcome


def _nodes() -> dict[str, list[int]]:
    nodes: dict[str, list[int]] = {}
    for item_id in sync.loaded_items():
        nodes.setdefault(counters.node_of(item_id), []).append(item_id)
    return nodes


def _verify_node(node: str, item_id: int) -> list[Recovered]:
    """Look at all items of a node while a witness stands, then load its scripts."""
    witness = counters.Witness(item_id)
    try:
        recovered = [_attempt(pk) for pk in _nodes().get(node, [])]
        witness.load_scripts()
    finally:
        witness.close()
    return recovered


def _attempt(item_id: int) -> Recovered:
    """Recover one item; one that cannot be is left frozen and stops no other."""
    try:
        return recover(item_id)
    except (NotLoaded, counters.Unsure):
        raise
    except Exception as error:
        logger.exception("flash item %s cannot be recovered", item_id)
        if not sync.freeze(item_id, f"recovery failed: {error}"):
            raise NotLoaded(f"item {item_id} cannot be closed") from error
        return Recovered(item_id, f"recovery failed: {error}", "left frozen")


def _locked(item_id: int) -> FlashSaleItem:
    return (
        FlashSaleItem.objects.select_for_update(of=("self",))
        .select_related("sale")
        .get(pk=item_id)
    )


@transaction.atomic(durable=True)
def _look(item_id: int, doubt: str = "") -> Recovered | None:
    """What was done for an item that is whole; None if it is to be put back.

    Then PostgreSQL has all that could be saved, and a new epoch that Redis lacks.
    """
    item = _locked(item_id)
    if not item.is_loaded:
        return Recovered(item_id, "the item is not loaded", "nothing to do")
    if item.state == ItemState.RECOVERING:
        return None
    if doubt := doubt or _doubt(item):
        _save_what_is_left(item, doubt)
        return None
    while sync.drain_locked(item):
        pass
    outcome = Recovered(item_id, "the counters are whole", "the tail is drained")
    _move(item, _resume_state(item), f"{outcome.found}; {outcome.done}")
    return outcome


@transaction.atomic(durable=True)
def _put_back(item_id: int) -> Recovered:
    """Counters and claims from PostgreSQL, under the new epoch, still closed.

    The keys are marked `recovering` until all is back, so a crash in between is seen.
    """
    item = _locked(item_id)
    found = item.doubt
    if item.state != ItemState.RECOVERING:
        return Recovered(item_id, found, "rebuilt by another process")
    counters.delete(item_id)
    counters.preload(
        item_id, flash.first_counters(item, state="recovering"), event="recover"
    )
    claims = restoring.put_back(item)
    _adjust(item, "frozen")
    while sync.drain_locked(item):
        pass
    _check_rebuilt(item, counters.snapshot(item_id), claims)
    item.loaded_at = item.loaded_at or timezone.now()
    item.save(update_fields=["loaded_at"])
    done = f"rebuilt from {claims} orders under epoch {item.epoch}"
    _move(item, _resume_state(item), f"{found}; {done}")
    return Recovered(item_id, found, done, rebuilt=True)


@transaction.atomic(durable=True)
def _open(item_id: int) -> None:
    """Let Redis follow PostgreSQL, which has committed that the item is sound.

    Under the locks of sale, item and stock, so that no pause, settlement or change of
    a threshold comes in between.
    """
    sale_id = FlashSaleItem.objects.values_list("sale_id", flat=True).get(pk=item_id)
    flash.locked(sale_id)
    item = _locked(item_id)
    if item.state in (ItemState.LOADED, ItemState.PAUSED):
        row = stock.lock([item.product_id])[item.product_id]
        _adjust(item, flash.wanted_state(item), floor=floors.floor_of(row))


def _adjust(item: FlashSaleItem, state: str, **floor: int) -> None:
    """Change an item that is not open yet, on a node that may not be."""
    epoch = item.epoch
    changes: dict[str, Any] = {"state": state, "verified": epoch, **floor}
    counters.adjust(item.pk, epoch=epoch, fenced=False, **changes)


def _move(item: FlashSaleItem, state: str, note: str) -> None:
    if item.state != state:
        sync.move_item(item, state, note=note)


def _looks_wrong(item: FlashSaleItem) -> bool:
    """Whether one look at Redis is enough to doubt an item, or to find it closed."""
    try:
        s = counters.snapshot(item.pk)
    except counters.Unreachable:
        raise
    except NotLoaded:
        return True
    return bool(_fault(item, s)) or s.state == "frozen"


def _fault(item: FlashSaleItem, s: Snapshot) -> str:
    """What is wrong with a snapshot by itself and against the offset; or nothing."""
    checks = {
        "a key of the item is missing": s.is_whole,
        f"Redis has epoch {s.epoch}, not {item.epoch}": s.epoch == item.epoch,
        f"Redis is behind: event {s.seq} of {item.last_seq}": s.seq >= item.last_seq,
        "its last event is not its number": s.last_id == f"{s.seq}-0",
        "its counters do not add up": s.units == s.left + s.held + s.paying + s.paid,
        "it was being rebuilt": s.state != "recovering",
    }
    return next((fault for fault, holds in checks.items() if not holds), "")


def _doubt(item: FlashSaleItem) -> str:
    """Why the counters in Redis cannot be trusted; empty if they can."""
    try:
        s = counters.snapshot(item.pk)
    except counters.Unreachable:
        raise
    except NotLoaded as error:
        return str(error)
    if fault := _fault(item, s):
        return fault
    if not _same_last(item):
        return "its last event known here is another one there"
    try:
        return _unexplained(item, s)
    except sync.Gap as gap:
        return str(gap)


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


def _unexplained(item: FlashSaleItem, s: Snapshot) -> str:
    """What the waiting events do not explain. Raises Gap if they are not contiguous."""
    fold = sync.foresee(item, up_to=s.seq)
    there = {name: getattr(s, name) for name in COUNTERS}
    here = {name: getattr(fold.counters, name) for name in COUNTERS}
    if there != here:
        wrong = [
            f"{n} {there[n]}, not {here[n]}" for n in COUNTERS if there[n] != here[n]
        ]
        return f"its counters are not what its events say: {', '.join(wrong)}"
    new = len(fold.claims.keys() - sync.claims_of(item, fold.claims).keys())
    claims = item.orders.count() + new
    if s.claims != claims:
        return f"it has {s.claims} claims, not {claims}"
    return ""


def _save_what_is_left(item: FlashSaleItem, doubt: str) -> None:
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


def _close(item: FlashSaleItem) -> None:
    """Keep everybody out from here on; lost keys keep them out already."""
    try:
        _adjust(item, "recovering")
    except counters.Unreachable:
        raise
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
    for claim_id, claimed in sync.claims_of(item, payments).items():
        for kind in _proven(claimed, payments[claim_id]):
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


def _proven(claimed: Claimed, payments: Sequence[Payment]) -> list[str]:
    """The steps that a claim's payments, oldest first, show it has taken."""
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
        held_since = claimed.expires_at - flash.hold_milliseconds()
        held_again = sync.milliseconds(declined.created_at) < held_since
        return [] if begin and held_again else [*begin, "release"]
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
    """An event that PostgreSQL writes itself, because Redis lost it."""
    now = sync.milliseconds(timezone.now())
    return Entry(
        seq=item.last_seq + 1 + offset,
        epoch=item.epoch,
        kind=kind,
        at=expires_at - flash.hold_milliseconds() if expires_at else now,
        order_id=order_id,
        buyer=buyer,
        quantity=quantity,
        expires_at=expires_at,
        details={"reason": reason, "target": HELD, "source": "recovery"},
    )


def _record(item: FlashSaleItem, entries: Sequence[Entry]) -> None:
    if entries:
        sync.record(item, [(entry, False) for entry in entries])


def _check_rebuilt(item: FlashSaleItem, s: Snapshot, claims: int) -> None:
    """Raise NotLoaded unless Redis now says what PostgreSQL says."""
    here = sync.counters_of(item)
    there = Counters(**{name: getattr(s, name) for name in COUNTERS})
    if there != here or s.seq != item.last_seq or s.claims != claims:
        raise NotLoaded(f"item {item.pk} was rebuilt as {there}, not {here}")


def _resume_state(item: FlashSaleItem) -> str:
    """Where a sound item goes; one that the audit has paused waits for the audit."""
    states = [ItemState.LOADED, ItemState.PAUSED]
    moves = SaleTransition.objects.filter(item=item, to_state__in=states)
    last = moves.order_by("-pk").values_list("to_state", flat=True).first()
    return last or ItemState.LOADED
