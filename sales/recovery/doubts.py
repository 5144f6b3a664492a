"""Why an item's counters in Redis cannot be trusted, if they cannot."""

from contextlib import suppress

from sales import counters, sync
from sales.counters import NotLoaded, Snapshot
from sales.folding import COUNTERS, Entry
from sales.models import FlashSaleItem


def looks_wrong(item: FlashSaleItem) -> bool:
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


def doubt(item: FlashSaleItem) -> str:
    """Why the counters in Redis cannot be trusted; empty if they can."""
    told = _last_told(item)  # before the counters, which may move on
    try:
        s = counters.snapshot(item.pk)
    except counters.Unreachable:
        raise
    except NotLoaded as error:
        return str(error)
    if fault := _fault(item, s):
        return fault
    if told > s.seq:
        return f"Redis is behind: event {s.seq}, the journal knows of event {told}"
    if not same_last(item):
        return "its last event known here is another one there"
    try:
        return _unexplained(item, s)
    except sync.Gap as gap:
        return str(gap)


def _last_told(item: FlashSaleItem) -> int:
    """The last event that a buyer was told of, by the notes that are not drained."""
    with suppress(NotLoaded):
        return max((n.as_of for n in counters.journaled(item.pk).values()), default=0)
    return 0


def same_last(item: FlashSaleItem) -> bool:
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
