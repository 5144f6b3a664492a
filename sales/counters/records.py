"""What Redis keeps of an item: its counters, claims and events, as values."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """What a buyer asks for: units of an item, under an order id of their own."""

    order_id: UUID
    buyer: str
    quantity: int


@dataclass(frozen=True, slots=True)
class StoredClaim:
    """A claim as Redis keeps it; `parse` and `str` are its one text form."""

    state: str
    buyer: str
    quantity: int
    expires_at: int
    seq: int
    left: int
    flipped: bool

    @classmethod
    def parse(cls, text: str) -> "StoredClaim":
        state, buyer, *numbers = text.split("|")
        quantity, expires_at, seq, left, flipped = map(int, numbers)
        return cls(state, buyer, quantity, expires_at, seq, left, bool(flipped))

    def __str__(self) -> str:
        return (
            f"{self.state}|{self.buyer}|{self.quantity}|{self.expires_at}"
            f"|{self.seq}|{self.left}|{int(self.flipped)}"
        )


@dataclass(frozen=True, slots=True)
class Note:
    """A claim as it was after the item's event `as_of`; the journal keeps such."""

    claim: StoredClaim
    as_of: int

    @classmethod
    def parse(cls, text: str) -> "Note":
        as_of, claim = text.split(" ", 1)
        return cls(StoredClaim.parse(claim), int(as_of))

    def __str__(self) -> str:
        return f"{self.as_of} {self.claim}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An item's counters at one moment of Redis time (milliseconds)."""

    epoch: int
    state: str
    units: int
    left: int
    floor: int
    limit: int
    opens_at: int
    closes_at: int
    hold_ms: int
    seq: int
    held: int
    paying: int
    paid: int
    released: int
    waiting: int = 0
    now: int = 0
    claims: int = 0
    buyers: int = 0
    events: int = 0
    last_id: str = ""
    is_whole: bool = True

    @property
    def sellable(self) -> int:
        """Units that anybody can claim now: above the floor and what the line wants."""
        return max(0, self.left - self.floor - self.waiting)

    @property
    def free(self) -> int:
        """Units above the floor, those for the waiting list among them."""
        return max(0, self.left - self.floor)


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of an item's stream."""

    id: str
    fields: dict[str, str]

    @property
    def seq(self) -> int:
        return int(self.id.partition("-")[0])


META_FIELDS = tuple(Snapshot.__dataclass_fields__)[:14]
# May be missing, and is 0 then: nobody is admitted wrongly without it.
POLICY_FIELDS = ("waiting",)
