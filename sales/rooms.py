"""Who is in a flash sale's waiting room: at which place, called, or let inside.

It lives on the queue's server, beside the sale Redis, whose counters know units only.
Losing it lets nobody in: people join again. Each call is one script, decided by that
server's clock.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from redis.exceptions import RedisError

from sales import queue_server
from sales.counters import NotLoaded

KEPT = timedelta(hours=1)  # how long a room is kept after its sale has closed
PARTS = ("waiting", "called", "inside", "meta", "served")
VISIT = Path(__file__).parent / "lua" / "waiting_room" / "visit.lua"
NEVER = datetime.fromtimestamp(0, UTC)

# A place that the new id has already stays as it is; the old one is gone either way.
# It goes last: a key that is empty for a moment would be kept for ever afterwards.
HAND_OVER = """
local place, at, has_place
local parts = {1, 2, 3, 5}
for _, n in ipairs(parts) do
  local found = redis.call("ZSCORE", KEYS[n], ARGV[1])
  if found then place, at = found, n end
  has_place = has_place or redis.call("ZSCORE", KEYS[n], ARGV[2])
end
if place and not has_place then redis.call("ZADD", KEYS[at], place, ARGV[2]) end
for _, n in ipairs(parts) do redis.call("ZREM", KEYS[n], ARGV[1]) end
"""

SERVE = """
local ends = redis.call("ZSCORE", KEYS[3], ARGV[1])
if not ends then return 0 end
redis.call("ZADD", KEYS[5], ends, ARGV[1])
redis.call("PEXPIREAT", KEYS[5], redis.call("HGET", KEYS[4], "keep_until"))
return redis.call("ZREM", KEYS[3], ARGV[1])
"""

_text = VISIT.read_text(encoding="utf-8")


class RoomAway(NotLoaded):
    """The server that keeps the room does not answer: nobody is let in."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A visitor's place at one moment of the server's clock.

    `state` is "outside", "early" (joined, the sale is not open yet), "waiting" or
    "inside".
    """

    state: str
    now: datetime
    ahead: int = 0
    until: datetime | None = None
    estimate: timedelta | None = None

    @property
    def is_inside(self) -> bool:
        return self.state == "inside"

    @property
    def place(self) -> int | None:
        """Counted from 1; before the sale opens nobody has one yet."""
        return self.ahead + 1 if self.state == "waiting" else None


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many people a waiting room holds now, but those who have bought."""

    waiting: int
    called: int
    inside: int


def visit(
    sale_id: int,
    visitor: str,
    *,
    allowance: int,
    opens_at: datetime,
    closes_at: datetime,
    joins: bool = False,
) -> Visit:
    """Let heads in and tell a visitor their place; with `joins` they take one.

    From `opens_at` on people go in while fewer than `allowance` are inside. Joining
    twice keeps the first place. Raises RoomAway.
    """
    # A number nobody can guess or choose: the place by lot of who comes early.
    lot = repr(secrets.SystemRandom().random()) if joins else ""
    return _visit(
        sale_id,
        visitor,
        lot,
        str(allowance),
        _milliseconds(opens_at),
        _milliseconds(closes_at + KEPT),
    )


def is_inside(sale_id: int, visitor: str) -> bool:
    """Whether somebody may buy now; who was called is inside by asking. RoomAway."""
    return _visit(sale_id, visitor, "", "0", _milliseconds(NEVER), "").is_inside


def hand_over(sale_id: int, former: str, visitor: str) -> None:
    """Let a visitor who is known by another id now keep the place. Raises RoomAway."""
    with _translated():
        queue_server.client().eval(
            HAND_OVER, len(PARTS), *keys(sale_id), former, visitor
        )


def serve(sale_id: int, visitor: str) -> None:
    """Let somebody who has bought stay inside without taking a turn. Raises RoomAway.

    What they bought is not left to others any more, so the allowance has shrunk by it;
    if they counted on, units that come back would wait for the end of their pass.
    """
    with _translated():
        queue_server.client().eval(SERVE, len(PARTS), *keys(sale_id), visitor)


def leave(sale_id: int, visitor: str) -> None:
    """Give a visitor's place to the next. Raises RoomAway."""
    waiting, called, inside, _meta, served = keys(sale_id)
    with _translated():
        pipeline = queue_server.client().pipeline(transaction=False)
        for key in (waiting, called, inside, served):
            pipeline.zrem(key, visitor)
        pipeline.execute()


def crowd(sale_id: int) -> Crowd:
    """How many wait and how many are inside. Raises RoomAway."""
    with _translated():
        client = queue_server.client()
        now = client.time()[0] * 1000
        waiting, called, inside, _meta, _served = keys(sale_id)
        pipeline = client.pipeline(transaction=False)
        pipeline.zcard(waiting)
        pipeline.zcount(called, now, "+inf")
        pipeline.zcount(inside, now, "+inf")
        return Crowd(*pipeline.execute())


def keys(sale_id: int) -> list[str]:
    """The room's keys, in the order the script takes them."""
    return [f"room:{{{sale_id}}}:{part}" for part in PARTS]


# -- Inside -----------------------------------------------------------------------


def _visit(sale_id: int, visitor: str, *args: str) -> Visit:
    pass_ms = str(settings.SHOP_ROOM_PASS_SECONDS * 1000)
    call_ms = str(settings.SHOP_ROOM_CALL_SECONDS * 1000)
    with _translated():
        script = queue_server.client().register_script(_text)
        answer: Any = script(keys(sale_id), [visitor, *args, pass_ms, call_ms])
    state, ahead, until, admissions, span, now = answer
    estimate = None
    if state == "waiting" and admissions:
        estimate = timedelta(milliseconds=(ahead + 1) * span / admissions)
    return Visit(
        state=state,
        now=_moment(now),
        ahead=ahead,
        until=_moment(until) if until else None,
        estimate=estimate,
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise RoomAway(f"the waiting room does not answer: {error}") from error


def _milliseconds(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
