"""What a stream of events means: the one place where events become claims and counters.

Pure Python, used by the drain (forwards, batch by batch) and by the audit (again, from
the first event), so that both must come to the same orders and counters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

HELD, PAYING, PAID = "held", "paying", "paid"
REFUNDED, EXPIRED, CANCELLED = "refunded", "expired", "cancelled"
KINDS = {
    "preload",
    "recover",
    "claim",
    "begin",
    "confirm",
    "release",
    "reclaim",
    "refund",
    "adjust",
}
COUNTERS = ("units", "left", "floor", "held", "paying", "paid", "released")


# Milliseconds; what comes later is no date that PostgreSQL or Python can keep.
LAST_MOMENT = 250_000_000_000_000


class Poison(Exception):
    """An event that cannot be understood or does not follow from those before it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, parsed: what the script wrote, with numbers as numbers."""

    seq: int
    epoch: int
    kind: str
    at: int
    order_id: UUID | None = None
    buyer: str = ""
    quantity: int = 0
    expires_at: int | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, seq: int, fields: Mapping[str, str]) -> "Entry":
        """Raise Poison unless the fields are those of a known kind of event."""
        rest = dict(fields)
        try:
            kind = rest.pop("event")
            epoch, at = int(rest.pop("epoch")), int(rest.pop("at"))
            order_id = UUID(rest.pop("order_id")) if "order_id" in rest else None
            quantity = int(rest.pop("quantity", 0))
            ends = rest.pop("expires_at", None)
            expires_at = int(ends) if ends else None
        except (KeyError, ValueError) as error:
            raise Poison(f"event {seq} cannot be read: {error}") from error
        if kind not in KINDS:
            raise Poison(f"event {seq} is of unknown kind {kind!r}")
        buyer = rest.pop("buyer", "")
        moments = (at, expires_at or 0)
        if (
            len(buyer) > 80
            or not 0 <= min(quantity, epoch) <= max(quantity, epoch) < 2**31
            or not 0 <= min(moments) <= max(moments) < LAST_MOMENT
            or "\x00" in "".join([*fields, *fields.values()])
        ):
            raise Poison(f"event {seq} has fields out of range")
        return cls(seq, epoch, kind, at, order_id, buyer, quantity, expires_at, rest)


@dataclass(slots=True)
class Claimed:
    """An order as the events have left it."""

    state: str
    buyer: str
    quantity: int
    expires_at: int
    seq: int
    claimed_at: int
    paid_at: int | None = None
    closed_at: int | None = None


@dataclass(frozen=True, slots=True)
class Counters:
    """The mirrored counters; `units = left + held + paying + paid` always."""

    units: int = 0
    left: int = 0
    floor: int = 0
    held: int = 0
    paying: int = 0
    paid: int = 0
    released: int = 0

    @property
    def is_whole(self) -> bool:
        return (
            min(self.left, self.held, self.paying, self.paid) >= 0
            and self.units == self.left + self.held + self.paying + self.paid
        )

    @property
    def is_out(self) -> bool:
        return self.left <= self.floor

    def move(
        self,
        *,
        units: int = 0,
        left: int = 0,
        held: int = 0,
        paying: int = 0,
        paid: int = 0,
        released: int = 0,
    ) -> "Counters":
        """A copy with deltas added. Raises Poison when that cannot be."""
        moved = Counters(
            self.units + units,
            self.left + left,
            self.floor,
            self.held + held,
            self.paying + paying,
            self.paid + paid,
            self.released + released,
        )
        if not moved.is_whole:
            raise Poison(f"the counters cannot become {moved} from {self}")
        return moved


@dataclass(slots=True)
class Fold:
    """The state of one item while its events are folded in order."""

    counters: Counters = field(default_factory=Counters)
    claims: dict[UUID, Claimed] = field(default_factory=dict)
    flips: int = 0

    def apply(self, entry: Entry) -> None:
        """Take one event in. Raises Poison, having changed nothing."""
        was_out = self.counters.is_out
        if entry.kind in ("preload", "recover"):
            self._load(entry)
        elif entry.kind == "adjust":
            self._adjust(entry)
        else:
            self._claim(entry)
        if self.counters.is_out and not was_out:
            self.flips += 1

    def _load(self, entry: Entry) -> None:
        loaded = Counters(**{name: _number(entry, name) for name in COUNTERS})
        if not loaded.is_whole or self.counters not in (Counters(), loaded):
            raise Poison(f"event {entry.seq} loads impossible counters {loaded}")
        self.counters = loaded

    def _adjust(self, entry: Entry) -> None:
        delta = _number(entry, "delta")
        if ref := entry.details.get("ref"):
            _uuid(entry, ref)
        moved = self.counters.move(units=delta, left=delta)
        self.counters = replace(moved, floor=_number(entry, "floor"))

    def _claim(self, entry: Entry) -> None:
        if entry.order_id is None:
            raise Poison(f"event {entry.seq} names no order")
        known, quantity = self.claims.get(entry.order_id), entry.quantity
        if entry.kind == "claim":
            if known is not None or entry.expires_at is None or quantity < 1:
                raise Poison(f"event {entry.seq} claims order {entry.order_id} again")
            self.counters = self.counters.move(left=-quantity, held=quantity)
            self.claims[entry.order_id] = Claimed(
                HELD, entry.buyer, quantity, entry.expires_at, entry.seq, entry.at
            )
            return
        if known is None or known.quantity != quantity:
            raise Poison(f"event {entry.seq} is about an unknown {entry.order_id}")
        step = getattr(self, f"_{entry.kind}")
        step(entry, known)

    def _begin(self, entry: Entry, known: Claimed) -> None:
        _expect(entry, known, HELD)
        self.counters = self.counters.move(held=-known.quantity, paying=known.quantity)
        known.state = PAYING

    def _confirm(self, entry: Entry, known: Claimed) -> None:
        _expect(entry, known, PAYING)
        self.counters = self.counters.move(paying=-known.quantity, paid=known.quantity)
        known.state, known.paid_at = PAID, entry.at

    def _release(self, entry: Entry, known: Claimed) -> None:
        reason = entry.details.get("reason")
        _expect(entry, known, PAYING if reason == "declined" else HELD)
        self.counters = self.counters.move(
            left=known.quantity,
            released=known.quantity,
            **{known.state: -known.quantity},
        )
        known.state = EXPIRED if reason == "expired" else CANCELLED
        known.closed_at = entry.at

    def _reclaim(self, entry: Entry, known: Claimed) -> None:
        _expect(entry, known, EXPIRED, CANCELLED)
        target = entry.details.get("target", "")
        if target not in (HELD, PAYING) or entry.expires_at is None:
            raise Poison(f"event {entry.seq} claims again for nothing")
        self.counters = self.counters.move(
            left=-known.quantity, **{target: known.quantity}
        )
        known.state, known.expires_at = target, entry.expires_at
        known.closed_at = None

    def _refund(self, entry: Entry, known: Claimed) -> None:
        _expect(entry, known, PAID)
        back = (
            {"left": known.quantity} if restocks(entry) else {"units": -known.quantity}
        )
        self.counters = self.counters.move(paid=-known.quantity, **back)
        known.state, known.closed_at = REFUNDED, entry.at


def restocks(entry: Entry) -> bool:
    """Whether a refund's units can be sold again."""
    return entry.details.get("restock") == "1"


def _expect(entry: Entry, known: Claimed, *states: str) -> None:
    if known.state not in states:
        raise Poison(
            f"event {entry.seq} {entry.kind}s order {entry.order_id}, "
            f"which is {known.state}"
        )


def _number(entry: Entry, name: str) -> int:
    try:
        return int(entry.details[name])
    except (KeyError, ValueError) as error:
        raise Poison(f"event {entry.seq} lacks {name}") from error


def _uuid(entry: Entry, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Poison(f"event {entry.seq} has a bad id: {text!r}") from error


def detail(entry: Entry, name: str) -> Any:
    """A field only some kinds of event have, or None."""
    return entry.details.get(name)
