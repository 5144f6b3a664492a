"""What must hold, as code: each invariant checked on a sale that goes on.

PostgreSQL is read in one REPEATABLE READ moment, which blocks nobody. Redis is read
after it, so it can only be ahead, by events that are still waiting: these are folded
onto what PostgreSQL had, and the result must be what Redis says. A difference counts
only if it is still there under the item's row lock, where neither the drain nor
recovery can be half-way.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sales import counters, folding, history, sync
from sales.counters import NotLoaded, Snapshot, StoredClaim, Unsure
from sales.folding import Claimed, Counters
from sales.history import History
from sales.mirror import OWNING, Claimants, Claims
from sales.models import FlashSaleItem, ItemState, Order, SaleTransition

LET_GO_ON = "let go on by hand"
SENTENCES = {
    1: gettext_lazy("In Redis, units = left + held + paying + paid."),
    2: gettext_lazy(
        "Redis is what PostgreSQL has, moved on by the events that are waiting."
    ),
    3: gettext_lazy(
        "Nothing is negative, and no claim went below the floor or above a limit."
    ),
    4: gettext_lazy("The waiting events are all there, in order, in one epoch."),
    5: gettext_lazy("PostgreSQL refuses to promise more units than there are."),
    6: gettext_lazy("The events, folded again, give the stored orders and counters."),
    7: gettext_lazy("Redis and PostgreSQL know the same claims, and none is lost."),
    9: gettext_lazy("Each crossing of a threshold is recorded once."),
    10: gettext_lazy("Ledger, open orders and running sales explain the stock."),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant of one subject: whether it holds, and by which numbers.

    `holds` is None when it could not be checked now; `first_difference` says why.
    `stops` says whether selling on could make a violation worse.
    """

    invariant: int
    subject: str
    holds: bool | None
    numbers: Mapping[str, int] = field(default_factory=dict)
    first_difference: str = ""
    item_ids: tuple[int, ...] = ()
    stops: bool = True

    @property
    def sentence(self) -> str:
        """What should hold, for people."""
        return str(SENTENCES[self.invariant])

    @property
    def line(self) -> str:
        """One line for a log, or an item's history."""
        words = {True: _("holds"), False: _("violated"), None: _("not checked")}
        line = _("Invariant %(number)s of %(subject)s: %(word)s") % {
            "number": self.invariant,
            "subject": self.subject,
            "word": words[self.holds],
        }
        return f"{line}: {self.first_difference}" if self.first_difference else line

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "sentence": self.sentence, "line": self.line}


@contextmanager
def one_moment() -> Iterator[None]:
    """Everything read from PostgreSQL inside is of one moment; nobody is blocked."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


# -- One item ---------------------------------------------------------------------


def of_item(item_id: int, *, deep: bool = True) -> list[Finding]:
    """Check one item while its sale goes on.

    Deep folds all its events again and compares every claim; else sums are compared.
    """
    with one_moment():
        item = _item(item_id)
        if item.state == ItemState.WAITING:
            return []
        past = history.of(item) if deep else None
        stored = _of_records(item, past)
        live = of_counters(item, past, past.claims if past else None, deep=deep)
    if any(finding.holds is not True for finding in live):
        # Recovery or settlement may have been half-way: look again when they are not.
        with transaction.atomic(durable=True):
            item = _item(item_id, lock=True)
            live = of_counters(item, past, deep=deep)
    return sorted(stored + live, key=lambda finding: finding.invariant)


def doubt(item: FlashSaleItem) -> str:
    """Why an item the caller has locked must not go on; empty if it may."""
    past = history.of(item)
    findings = [*_of_records(item, past), *of_counters(item, past, past.claims)]
    lines = [f.line for f in findings if f.holds is False and f.stops]
    return next((line for line in lines if not is_known(item.pk, line)), "")


def is_known(item_id: int, line: str) -> bool:
    """Whether a person has let the item go on after it was stopped for exactly this."""
    log = SaleTransition.objects.filter(item=item_id)
    resumed = log.filter(from_state=ItemState.PAUSED, to_state=ItemState.LOADED)
    by_person = resumed.filter(Q(actor__isnull=False) | Q(note=LET_GO_ON))
    last = by_person.order_by("-pk").values_list("pk", flat=True).first()
    stops = log.filter(to_state=ItemState.PAUSED, note=line[:200])
    return last is not None and stops.filter(pk__lt=last).exists()


def of_counters(
    item: FlashSaleItem,
    past: History | None = None,
    claims: Claims | None = None,
    *,
    deep: bool = True,
) -> list[Finding]:
    """Check an item's live counters against its rows: invariants 1 to 4, 7 and 9.

    The caller has locked the item's row or reads in one moment; `claims` are its orders
    then, read here if not given. Writes nothing.
    """
    if not item.is_loaded or item.loaded_at is None:
        return []
    try:
        if item.state == ItemState.RECOVERING:
            raise NotLoaded(_("the item is being recovered: %s") % item.doubt)
        with counters.patience(10):
            return _of_counters(item, past, claims, deep)
    except (NotLoaded, Unsure) as error:
        why = str(error) or _("the sale Redis is not verified")
        return [_finding(item, n, None, first_difference=why) for n in (1, 2, 3, 4)]


def _of_counters(
    item: FlashSaleItem, past: History | None, claims: Claims | None, deep: bool
) -> list[Finding]:
    noted: dict[UUID, counters.Note] = {}
    with suppress(NotLoaded):  # the rest can be told without the journal
        noted = counters.journaled(item.pk) if deep else {}
    s = counters.snapshot(item.pk)
    if not s.is_whole:
        raise NotLoaded(_("a key of the item is missing"))
    findings = [_sums(item, s), _bounds(item, s, past)]
    try:
        _check_position(item, s)
        fold = sync.foresee(item, up_to=s.seq)
    except sync.Gap as gap:
        return [*findings, _waiting(item, s, str(gap))]
    findings += [_waiting(item, s), _same_counters(item, s, fold.counters)]
    if deep:
        here = {**(sync.claims_of(item) if claims is None else claims), **fold.claims}
        try:
            look = Claimants(item, s, here)
        except ValueError as error:
            words = _("a claim in Redis cannot be read: %s") % error
            return [*findings, _finding(item, 7, False, first_difference=words)]
        findings.append(_same_claims(item, look, noted))
        if past and past.epoch == item.epoch:
            findings.append(_flips(item, past, look.there))
    return findings


def _check_position(item: FlashSaleItem, s: Snapshot) -> None:
    """Raise Gap unless Redis goes on where PostgreSQL has stopped."""
    words = ""
    if s.epoch != item.epoch:
        words = _("Redis has epoch %(there)s, PostgreSQL %(here)s")
        words %= {"there": s.epoch, "here": item.epoch}
    elif s.seq < item.last_seq:
        words = _("Redis is at event %(there)s, PostgreSQL at %(here)s")
        words %= {"there": s.seq, "here": item.last_seq}
    elif s.last_id != f"{s.seq}-0":
        words = _("the last event is %(there)s, the counters are at %(here)s")
        words %= {"there": s.last_id, "here": s.seq}
    if words:
        raise sync.Gap(words)


def _sums(item: FlashSaleItem, s: Snapshot) -> Finding:
    names = ("units", "left", "held", "paying", "paid")
    numbers = {name: getattr(s, name) for name in names}
    return _finding(item, 1, s.units == s.left + s.held + s.paying + s.paid, numbers)


def _bounds(item: FlashSaleItem, s: Snapshot, past: History | None) -> Finding:
    numbers = {"left": s.left, "floor": s.floor, "limit": s.limit}
    negative = [n for n in ("left", "held", "paying", "paid") if getattr(s, n) < 0]
    words = _("%(name)s is %(number)s")
    first = past.breach if past else ""
    if negative:
        first = words % {"name": negative[0], "number": getattr(s, negative[0])}
    return _finding(item, 3, not first, numbers, first)


def _waiting(item: FlashSaleItem, s: Snapshot, gap: str = "") -> Finding:
    numbers = {
        "seq": s.seq,
        "last_seq": item.last_seq,
        "waiting": max(0, s.seq - item.last_seq),
    }
    return _finding(item, 4, not gap, numbers, gap)


def _same_counters(item: FlashSaleItem, s: Snapshot, here: Counters) -> Finding:
    before = sync.counters_of(item)
    words = _("%(name)s is %(there)s in Redis and %(here)s by the events")
    differing = [
        words % {"name": n, "there": getattr(s, n), "here": getattr(here, n)}
        for n in folding.COUNTERS
        if getattr(s, n) != getattr(here, n)
    ]
    numbers = {
        "units": s.units,
        "left": s.left,
        "held": before.held,
        "paying": before.paying,
        "paid": before.paid,
        "in_flight": _promised(here) - _promised(before),
        "poison": item.poison_events,
    }
    return _finding(item, 2, not differing, numbers, "; ".join(differing))


def _same_claims(
    item: FlashSaleItem, look: Claimants, noted: Mapping[UUID, counters.Note]
) -> Finding:
    """Invariant 7; `noted` are claims whose buyers were told, by the journal."""
    differences, lost = look.differences(), look.lost(noted)
    numbers = {
        "claims_in_redis": len(look.there),
        "orders": len(look.here),
        "differing": len(differences),
        "lost": len(lost),
    }
    first = differences[0] if differences else ""
    if lost and not first:
        words = _("claim %(order)s of buyer %(buyer)s was confirmed and is lost")
        first = words % {"order": lost[0], "buyer": noted[lost[0]].claim.buyer}
    return _finding(item, 7, not first, numbers, first, stops=bool(differences))


def _flips(
    item: FlashSaleItem, past: History, there: Mapping[UUID, StoredClaim]
) -> Finding:
    """First answers that said "that was the last one", and crossings of the floor."""
    seqs = range(past.loaded_at_seq + 1, past.last_seq + 1)
    told = {pk for pk, claim in there.items() if claim.flipped and claim.seq in seqs}
    differing = sorted(map(str, told ^ past.closing_claims))
    return _finding(
        item,
        9,
        not differing,
        {"flips": len(told), "crossings": len(past.closing_claims)},
        _("order %s") % differing[0] if differing else "",
        stops=False,
    )


# -- What PostgreSQL has of one item ----------------------------------------------


def _of_records(item: FlashSaleItem, past: History | None) -> list[Finding]:
    promised = item.held + item.paying + item.paid
    never_more = _finding(
        item, 5, promised <= item.units, {"units": item.units, "promised": promised}
    )
    if past is None:
        return [never_more, _same_totals(item)]
    difference = past.broken or _same_position(item, past) or _same_orders(item, past)
    numbers = {
        "events": past.events,
        "poison": past.poison,
        "orders": len(past.claims),
        "last_seq": item.last_seq,
    }
    findings = [never_more, _finding(item, 6, not difference, numbers, difference)]
    if item.state == ItemState.SETTLED:
        bounds = {"left": item.left, "floor": item.floor, "limit": item.limit_per_buyer}
        findings.append(_finding(item, 3, not past.breach, bounds, past.breach))
    return findings


def _same_position(item: FlashSaleItem, past: History) -> str:
    # Recovery has jumped ahead before the first event of the new life.
    is_there = past.last_seq == item.last_seq or item.state == ItemState.RECOVERING
    if not is_there:
        return _("the last event is %(last)s, the item is at %(here)s") % {
            "last": past.last_seq,
            "here": item.last_seq,
        }
    here = sync.counters_of(item)
    # Before the first drain the item has its allocation and no event yet.
    new = Counters(units=item.units, left=item.units, floor=item.floor)
    folded = past.fold.counters if past.events else new
    for name in folding.COUNTERS:
        if getattr(here, name) != getattr(folded, name):
            return _("%(name)s is %(here)s and %(folded)s by the events") % {
                "name": name,
                "here": getattr(here, name),
                "folded": getattr(folded, name),
            }
    return ""


def _same_orders(item: FlashSaleItem, past: History) -> str:
    """The first order that is not what the events made of it."""
    stored = sync.claims_of(item)
    differing = [
        pk
        for pk in stored.keys() | past.claims.keys()
        if stored.get(pk) != past.claims.get(pk)
    ]
    if not differing:
        return ""
    known = {**stored, **past.claims}
    first = min(differing, key=lambda pk: (known[pk].seq, str(pk)))
    here, folded = stored.get(first), past.claims.get(first)
    if here is None:
        return _("order %s is missing") % first
    if folded is None:
        return _("order %s has no event") % first
    names = (f for f in Claimed.__slots__ if getattr(here, f) != getattr(folded, f))
    name = next(names)
    return _("order %(order)s: %(name)s is %(here)s and %(folded)s by the events") % {
        "order": first,
        "name": name,
        "here": getattr(here, name),
        "folded": getattr(folded, name),
    }


def _same_totals(item: FlashSaleItem) -> Finding:
    """The light form of invariant 6: sums of the orders."""
    rows = Order.objects.filter(flash_item=item, state__in=OWNING).order_by()
    totals = dict(rows.values_list("state").annotate(Sum("lines__quantity")))
    numbers: dict[str, int] = {}
    first = ""
    for state in OWNING:
        here, orders = getattr(item, state), totals.get(state) or 0
        numbers |= {state: here, f"{state}_orders": orders}
        if here != orders and not first:
            words = _("%(state)s is %(here)s and the orders add up to %(orders)s")
            first = words % {"state": state, "here": here, "orders": orders}
    return _finding(item, 6, not first, numbers, first)


# -- Inside -----------------------------------------------------------------------


def _item(item_id: int, *, lock: bool = False) -> FlashSaleItem:
    items = FlashSaleItem.objects.select_related("product", "sale")
    if lock:
        items = items.select_for_update(of=("self",))
    return items.get(pk=item_id)


def _finding(
    item: FlashSaleItem,
    invariant: int,
    holds: bool | None,
    numbers: Mapping[str, int] | None = None,
    first_difference: str = "",
    *,
    stops: bool = True,
) -> Finding:
    subject = _("item %(item)s, %(sku)s, in %(sale)s") % {
        "item": item.pk,
        "sku": item.product.sku,
        "sale": item.sale.name,
    }
    return Finding(
        invariant, subject, holds, numbers or {}, first_difference, (item.pk,), stops
    )


def _promised(c: Counters) -> int:
    return c.held + c.paying + c.paid
