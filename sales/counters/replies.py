"""What the scripts answer: a code in Redis, a value or an exception here."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sales.counters.records import StoredClaim


class Code(IntEnum):
    """Answers of the scripts; each script's header says which it gives."""

    DONE = 1
    REPEATED = 2
    NOT_LOADED = -1
    SOLD_OUT = -2
    ALL_HELD = -3
    WRONG_EPOCH = -4
    WRONG_STATE = -5
    LIMIT = -6
    NOT_DUE = -7
    NOT_STARTED = -8
    ENDED = -9
    PAUSED = -10
    CONFLICT = -11
    UNKNOWN = -12
    HOLD_ENDED = -13
    TOO_MANY = -14
    WAITING_ROOM = -15


REFUSALS = {
    Code.SOLD_OUT: "sold_out",
    Code.ALL_HELD: "all_held",
    Code.LIMIT: "limit_reached",
    Code.NOT_STARTED: "not_started",
    Code.ENDED: "ended",
    Code.PAUSED: "paused",
    Code.CONFLICT: "conflict",
    Code.WAITING_ROOM: "waiting_room",
}


class NotLoaded(Exception):
    """Redis is lost, empty or not verified for this item: nobody may be admitted."""

    code = "not_loaded"


class WrongEpoch(NotLoaded):
    """Redis holds another life of this item's counters than the caller knows."""


class Unreachable(NotLoaded):
    """No connection to Redis: nothing was sent, and what it holds is not known."""


class Unsure(Exception):
    """The answer was lost on the way; ask again with the same order id."""


class ClaimRefused(Exception):
    """A claim got nothing; `code` is the stable word for why."""

    def __init__(self, code: str, detail: int = 0) -> None:
        self.code = code
        self.detail = detail
        super().__init__(code)

    @property
    def left(self) -> int:
        """Units that could still be claimed, when that is the reason."""
        return self.detail if self.code in ("sold_out", "all_held") else 0


class StepRefused(Exception):
    """A claim's or item's state does not allow this step; nothing was changed."""

    def __init__(self, code: Code, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code.name} {detail}".strip())


@dataclass(frozen=True, slots=True)
class Admitted:
    """A claim that got its units; a replay carries the first answer again."""

    seq: int
    left: int
    expires_at: int
    flipped: bool
    replayed: bool = False
    state: str = "held"

    def stored(self, *, buyer: str, quantity: int) -> StoredClaim:
        """The claim as Redis keeps it."""
        return StoredClaim(
            self.state,
            buyer,
            quantity,
            self.expires_at,
            self.seq,
            self.left,
            self.flipped,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What a transition did; `repeated` when it had been done before."""

    seq: int
    repeated: bool
    state: str = ""
    left: int = 0
    flipped: bool = False


def admission(answer: list[Any]) -> Admitted | ClaimRefused | NotLoaded:
    """A claim's answer as a value; refusals are returned, a batch goes on."""
    code = Code(answer[0])
    if code is Code.DONE:
        seq, left, expires_at, flipped = answer[1:]
        return Admitted(seq, left, expires_at, bool(flipped))
    if code is Code.REPEATED:
        state, seq, left, expires_at, flipped = answer[1:]
        return Admitted(seq, left, expires_at, bool(flipped), True, state)
    if code in REFUSALS:
        return ClaimRefused(REFUSALS[code], answer[1] if len(answer) > 1 else 0)
    return lost(code)


def lost(code: Code) -> NotLoaded:
    """The exception that says why the counters cannot be trusted."""
    return WrongEpoch() if code is Code.WRONG_EPOCH else NotLoaded()


def step(answer: list[Any]) -> Step:
    """A transition's answer. Raises NotLoaded or StepRefused."""
    code, details = Code(answer[0]), answer[1:]
    if code is Code.DONE:
        seq, left, flipped = (*details, 0, 0)[:3]
        return Step(seq, False, "", left, bool(flipped))
    if code is Code.REPEATED:
        return Step(0, True, str(details[0]))
    if code in (Code.NOT_LOADED, Code.WRONG_EPOCH):
        raise lost(code)
    raise StepRefused(code, str(details[0]) if details else "")
