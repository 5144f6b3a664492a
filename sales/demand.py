"""How many claims were made and what they were told, by item, answer and minute.

Each process counts in memory and sends its counts twice a second to the queue's server,
beside the sale Redis: a refusal writes nothing there, and its disk is for claims alone.
A tick brings the counts into PostgreSQL. Counting is for people who look; it never
delays or refuses a claim, and what cannot be counted is left out.
"""

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import redis
from django.conf import settings
from django.db import connection
from django.db.models import Case, DateTimeField, F, Sum, When
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from sales.models import ClaimAnswer, ClaimCount

logger = logging.getLogger(__name__)

PART = 10  # seconds: what a minute is counted in, for a rate that is of now
PARTS = 60 // PART
MINUTE = timedelta(minutes=1)
KEPT = timedelta(minutes=10)  # a minute is looked at again this long after its end
KEEP_SECONDS = 7 * 24 * 3600  # how long counts wait for a tick
DELAY = 0.5  # seconds in which counts come together before they are sent
PATIENCE = 1.0  # seconds
MINUTES = "demand:minutes"

# The minute is noted again each time, so that counts that come late are looked at, too.
COUNT = """
for n = 2, #ARGV, 3 do
  redis.call("HINCRBY", KEYS[1], ARGV[n] .. ":claims", ARGV[n + 1])
  redis.call("HINCRBY", KEYS[1], ARGV[n] .. ":units", ARGV[n + 2])
end
redis.call("EXPIRE", KEYS[1], ARGV[1])
redis.call("SADD", KEYS[2], KEYS[1]:match("%d+$"))
"""
UPSERT = """
INSERT INTO sales_claimcount (item_id, minute, answer, claims, units)
SELECT part.* FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::int[],
    %s::bigint[]) AS part (item_id, minute, answer, claims, units)
JOIN sales_flashsaleitem AS item ON item.id = part.item_id
ORDER BY part.item_id, part.minute, part.answer
ON CONFLICT (item_id, minute, answer) DO UPDATE SET
    claims = greatest(sales_claimcount.claims, excluded.claims),
    units = greatest(sales_claimcount.units, excluded.units)
"""

# Item, minute, answer and part of the minute.
PartKey = tuple[int, int, str, int]

_lock = threading.Lock()
_sending = threading.Lock()  # what was counted has arrived once this is free again
_clients: dict[tuple[int, str], redis.Redis] = {}


@dataclass(slots=True)
class Count:
    """Claims with one answer, and the units they asked for."""

    claims: int = 0
    units: int = 0

    def add(self, other: "Count") -> None:
        self.claims += other.claims
        self.units += other.units


@dataclass(slots=True)
class Demand:
    """What the claims for one item were told, since it was loaded."""

    answers: dict[str, Count] = field(default_factory=dict)
    per_second: float | None = None  # of the last seconds; None: not known

    def add(self, answer: str, count: Count) -> None:
        self.answers.setdefault(answer, Count()).add(count)

    @property
    def claims(self) -> int:
        """All of them, admitted and refused."""
        return sum(count.claims for count in self.answers.values())

    @property
    def admitted(self) -> int:
        return self._claims(ClaimAnswer.ADMITTED)

    @property
    def refused(self) -> int:
        return self.claims - self.admitted

    @property
    def unmet(self) -> int:
        """Units asked for when there were none, or fewer, left."""
        none_left = (ClaimAnswer.SOLD_OUT, ClaimAnswer.ALL_HELD)
        counts = [self.answers.get(answer, Count()) for answer in none_left]
        return sum(count.units for count in counts)

    @property
    def over_limit(self) -> int:
        """Claims for more than one buyer may have."""
        return self._claims(ClaimAnswer.LIMIT_REACHED)

    @property
    def refusals(self) -> list[tuple[str, Count]]:
        """Why claims got nothing, in words, the most frequent first."""
        names = dict(ClaimAnswer.choices)
        rows = [
            (str(names.get(answer, answer)), count)
            for answer, count in self.answers.items()
            if answer != ClaimAnswer.ADMITTED
        ]
        return sorted(rows, key=lambda row: -row[1].claims)

    def _claims(self, answer: str) -> int:
        return self.answers.get(answer, Count()).claims


# -- Counting ---------------------------------------------------------------------

# What this process has counted and not sent yet, by minute and name.
_pending: dict[tuple[int, str], Count] = {}


def note(item_id: int, answer: str, *, units: int, now: float | None = None) -> None:
    """Count one claim by what it was told: in memory alone, and it cannot fail.

    A moment later a thread sends what has come together. A process that is killed in
    between takes that with it.
    """
    at = time.time() if now is None else now
    key = int(at // 60), f"{item_id}:{answer}:{int(at % 60 // PART)}"
    with _lock:
        is_first = not _pending
        count = _pending.setdefault(key, Count())
        count.claims += 1
        count.units += units
    if is_first:
        # Not a daemon: a process that ends waits for it. A daemon that ends within a
        # call leaves the lock of its connections taken, and the process would hang.
        timer = threading.Timer(DELAY, _send_quietly)
        try:
            timer.start()
        except RuntimeError as error:  # no more threads
            logger.warning("claims are not counted: %s", error)
            _forget()


def send() -> None:
    """Bring this process's counts to the queue's server now. Raises RedisError.

    Also those that another thread has begun to send have arrived when this returns.
    """
    with _sending:
        _send()


def _send() -> None:
    minutes: dict[int, list[str | int]] = defaultdict(list)
    with _lock:
        for (minute, name), count in _pending.items():
            minutes[minute] += [name, count.claims, count.units]
        _pending.clear()
    if minutes:
        pipeline = _client().pipeline(transaction=False)
        for minute, args in minutes.items():
            pipeline.eval(COUNT, 2, _key(minute), MINUTES, KEEP_SECONDS, *args)
        pipeline.execute()


def _send_quietly() -> None:
    try:
        send()
    except RedisError as error:
        logger.warning("some claims are not counted: %s", error)


def _forget() -> None:
    with _lock:
        _pending.clear()


def _begin_anew() -> None:
    """A child process begins with nothing: its parent sends what it has counted."""
    global _lock, _sending
    _lock, _sending = threading.Lock(), threading.Lock()
    _pending.clear()


os.register_at_fork(after_in_child=_begin_anew)


# -- Into PostgreSQL --------------------------------------------------------------


def fold(now: datetime) -> int:
    """Bring the minutes that are over into PostgreSQL; return how many were read.

    Whole numbers are written, never added to, so a repeat or a second runner changes
    nothing. A minute is dropped here once it is stored and no claim can be late for it.
    """
    send()
    current = _minute_of(now)
    over = [minute for minute in _minutes() if minute < current]
    _store(_by_minute(_parts(over)))
    old = [minute for minute in over if (current - minute) * MINUTE > KEPT]
    if old:
        pipeline = _client().pipeline()
        pipeline.delete(*map(_key, old))
        pipeline.srem(MINUTES, *old)
        pipeline.execute()
    return len(over)


def _store(found: Mapping[tuple[int, int, str], Count]) -> None:
    if not found:
        return
    rows = [
        (item_id, _moment(minute), answer, count.claims, count.units)
        for (item_id, minute, answer), count in sorted(found.items())
    ]
    with connection.cursor() as cursor:
        cursor.execute(UPSERT, [list(column) for column in zip(*rows, strict=True)])


# -- Reading ----------------------------------------------------------------------


def of_items(item_ids: Collection[int], *, now: datetime) -> dict[int, Demand]:
    """The demand for each item so far, with what no tick has stored yet.

    When the queue's server does not answer, what is stored, and no rate.
    """
    demands = {item_id: Demand() for item_id in item_ids}
    try:
        send()
        minutes = _minutes()
        parts = {k: n for k, n in _parts(minutes).items() if k[0] in demands}
    except RedisError as error:
        logger.warning("claims that are not stored yet are not shown: %s", error)
        minutes, parts = [], {}
    else:
        for item_id, demand in demands.items():
            demand.per_second = _rate(item_id, parts, now)
    newest = _by_minute(parts)
    for item_id, answer, minute, count in _stored(demands, minutes):
        if minute is None:
            demands[item_id].add(answer, count)
        elif count.claims > newest[item_id, minute, answer].claims:
            newest[item_id, minute, answer] = count
    for (item_id, _minute, answer), count in newest.items():
        demands[item_id].add(answer, count)
    return demands


def together(demands: Iterable[Demand]) -> Demand:
    """The demand for several items as one."""
    found = Demand()
    for demand in demands:
        for answer, count in demand.answers.items():
            found.add(answer, count)
        if demand.per_second is not None:
            found.per_second = (found.per_second or 0.0) + demand.per_second
    return found


def busiest_minutes(item_ids: Collection[int]) -> dict[int, int]:
    """The most claims that were made for an item in one minute, of those stored."""
    rows = ClaimCount.objects.filter(item__in=item_ids).order_by()
    found: dict[int, int] = {}
    by_minute = rows.values_list("item", "minute").annotate(Sum("claims"))
    for item_id, _minute, claims in by_minute.iterator():
        found[item_id] = max(claims, found.get(item_id, 0))
    return found


def _stored(
    item_ids: Collection[int], minutes: Sequence[int]
) -> Iterator[tuple[int, str, int | None, Count]]:
    """Stored counts by item and answer: the given minutes each, the others as one."""
    among = When(minute__in=[_moment(minute) for minute in minutes], then=F("minute"))
    rows = ClaimCount.objects.filter(item__in=item_ids).order_by()
    grouped = rows.values_list(
        "item", "answer", Case(among, output_field=DateTimeField())
    )
    for item_id, answer, moment, *numbers in grouped.annotate(
        Sum("claims"), Sum("units")
    ):
        minute = None if moment is None else _minute_of(moment)
        yield item_id, answer, minute, Count(*numbers)


def _rate(item_id: int, parts: Mapping[PartKey, Count], now: datetime) -> float:
    """Claims per second, over this part of a minute and the one before."""
    at = now.timestamp()
    this = int(at // PART)
    claims = sum(
        count.claims
        for (item, minute, _answer, part), count in parts.items()
        if item == item_id and minute * PARTS + part in (this, this - 1)
    )
    return claims / (PART + at % PART)


# -- The queue's server -----------------------------------------------------------


def _minutes() -> list[int]:
    """The minutes of which something is counted here, oldest first."""
    return sorted(int(text) for text in cast(set[str], _client().smembers(MINUTES)))


def _parts(minutes: Sequence[int]) -> dict[PartKey, Count]:
    pipeline = _client().pipeline(transaction=False)
    for minute in minutes:
        pipeline.hgetall(_key(minute))
    found: dict[PartKey, Count] = defaultdict(Count)
    for minute, row in zip(minutes, pipeline.execute(), strict=True):
        for name, number in row.items():
            item_id, answer, part, what = name.split(":")
            count = found[int(item_id), minute, answer, int(part)]
            setattr(count, what, int(number))
    return found


def _by_minute(
    parts: Mapping[PartKey, Count],
) -> defaultdict[tuple[int, int, str], Count]:
    found: defaultdict[tuple[int, int, str], Count] = defaultdict(Count)
    for (item_id, minute, answer, _part), count in parts.items():
        found[item_id, minute, answer].add(count)
    return found


def _key(minute: int) -> str:
    return f"demand:{minute}"


def _minute_of(moment: datetime) -> int:
    return int(moment.timestamp() // 60)


def _moment(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def _client() -> redis.Redis:
    """One pool of connections per process, which nobody waits for long."""
    owner = (os.getpid(), settings.QUEUE_REDIS_URL)
    if owner not in _clients:
        _clients[owner] = redis.Redis.from_url(
            settings.QUEUE_REDIS_URL,
            decode_responses=True,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),  # a repeated count would be two
        )
    return _clients[owner]
