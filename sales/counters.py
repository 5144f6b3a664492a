"""The only module that talks to the sale Redis: counters, claims, events of an item.

Each call is one script, so it is decided and written in one step. Two rules keep a
lost or doubtful Redis from selling anything:

- Missing keys mean NotLoaded, never "sold out" and never 0.
- The script cache is the fence. Redis forgets scripts when it restarts or fails over;
  callers use EVALSHA only, and only recovery loads scripts, after every loaded item of
  that node was verified while one connection to it stood.

One connection per thread and process, no client retries, a short time-out: a call whose
answer was lost raises Unsure, and is asked again by its order id.
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from hashlib import sha1
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

logger = logging.getLogger(__name__)

LUA = Path(__file__).parent / "lua"
SCRIPTS = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted(LUA.glob("*.lua"))
}
SHAS = {
    name: sha1(text.encode(), usedforsecurity=False).hexdigest()
    for name, text in SCRIPTS.items()
}
# These may run on a node that is not verified: they admit nobody.
UNFENCED = {"preload", "restore", "audit"}
PARTS = ("meta", "claims", "buyers", "events")
BUYER = re.compile(r"[A-Za-z0-9:._@-]{1,64}")


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


REFUSALS = {
    Code.SOLD_OUT: "sold_out",
    Code.ALL_HELD: "all_held",
    Code.LIMIT: "limit_reached",
    Code.NOT_STARTED: "not_started",
    Code.ENDED: "ended",
    Code.PAUSED: "paused",
    Code.CONFLICT: "conflict",
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
class Claim:
    """What a buyer asks for: units of an item, under an order id of their own."""

    order_id: UUID
    buyer: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """A claim that got its units; a replay carries the first answer again."""

    seq: int
    left: int
    expires_at: int
    flipped: bool
    replayed: bool = False
    state: str = "held"

    def stored(self, *, buyer: str, quantity: int) -> "StoredClaim":
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


@dataclass(frozen=True, slots=True)
class StoredClaim:
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
    now: int = 0
    claims: int = 0
    buyers: int = 0
    events: int = 0
    last_id: str = ""
    is_whole: bool = True

    @property
    def sellable(self) -> int:
        """Units that can be claimed now without touching the floor."""
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


def keys(item_id: int) -> list[str]:
    """The item's four keys, in the order every script takes them."""
    return [f"flash:{{{item_id}}}:{part}" for part in PARTS]


# -- Connections ------------------------------------------------------------------

_local = threading.local()


def client() -> redis.Redis:
    """This thread's own connection to the sale Redis; it never retries by itself."""
    seconds = getattr(_local, "patience", None) or settings.SALE_REDIS_TIMEOUT_MS / 1000
    owner = (os.getpid(), settings.SALE_REDIS_URL, seconds)
    if getattr(_local, "owner", None) != owner:
        options: dict[str, Any] = {
            "decode_responses": True,
            "encoding_errors": "backslashreplace",  # a poison event is still readable
            "socket_timeout": seconds,
            "socket_connect_timeout": seconds,
            "retry": Retry(NoBackoff(), 0),
        }
        if settings.SALE_REDIS_CLUSTER:
            _local.client = redis.RedisCluster.from_url(
                settings.SALE_REDIS_URL, **options
            )
        else:
            _local.client = redis.Redis.from_url(
                settings.SALE_REDIS_URL, single_connection_client=True, **options
            )
        _local.owner = owner
    return _local.client  # type: ignore[no-any-return]


def disconnect() -> None:
    """Forget this thread's connection; the next call makes a new one."""
    stored = getattr(_local, "client", None)
    _local.owner = None
    if stored is not None:
        stored.close()


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """A longer time-out for maintenance calls of this thread: recovery, audit."""
    stored = getattr(_local, "patience", None)
    _local.patience = seconds
    try:
        yield
    finally:
        _local.patience = stored


@contextmanager
def _translated() -> Iterator[None]:
    """Turn redis-py's errors into ours, and drop a connection that failed.

    An error that Redis answers has changed nothing: a script writes its event first,
    and if that is refused (a wrong type, a number that is taken, no memory), it ends.
    """
    try:
        yield
    except NoScriptError as error:
        raise NotLoaded("the node is not verified") from error
    except (BusyLoadingError, ResponseError) as error:
        raise NotLoaded(f"Redis refuses: {error}") from error
    except (RedisError, RedisClusterException) as error:
        disconnect()
        raise Unsure(str(error)) from error


def _ready() -> redis.Redis:
    """A client whose connection stands, so that a failure to connect is no doubt."""
    try:
        connected = client()
        if not settings.SALE_REDIS_CLUSTER:
            connected.connection.connect()  # type: ignore[union-attr]
    except (RedisError, RedisClusterException) as error:
        disconnect()
        raise Unreachable(f"the sale Redis cannot be reached: {error}") from error
    return connected


def _run(script: str, item_id: int, *args: str | int, fenced: bool = True) -> list[Any]:
    connected = _ready()
    with _translated():
        if fenced and script not in UNFENCED:
            answer = connected.evalsha(SHAS[script], 4, *keys(item_id), *args)
        else:
            # Another text than the fenced one: EVAL puts what it runs into the cache.
            text = f"-- unfenced\n{SCRIPTS[script]}"
            answer = connected.eval(text, 4, *keys(item_id), *args)
    return answer  # type: ignore[no-any-return]


# -- Claims -----------------------------------------------------------------------


def claim(
    item_id: int, *, epoch: int, order_id: UUID, buyer: str, quantity: int
) -> Admitted:
    """Take units for one order; atomic, and safe to repeat by order id.

    Raises ClaimRefused, NotLoaded, or Unsure when the answer was lost.
    """
    (answer,) = claim_many(
        item_id, epoch=epoch, claims=[Claim(order_id, buyer, quantity)]
    )
    if isinstance(answer, Exception):
        raise answer
    return answer


def claim_many(
    item_id: int, *, epoch: int, claims: Sequence[Claim]
) -> list[Admitted | ClaimRefused | NotLoaded]:
    """Decide a batch in order in one script call; one answer per claim."""
    args: list[str | int] = []
    for wanted in claims:
        if not BUYER.fullmatch(wanted.buyer):
            raise ValueError(f"not a buyer id: {wanted.buyer!r}")
        if not 1 <= wanted.quantity <= settings.SHOP_MAX_QUANTITY:
            raise ValueError(f"not a quantity: {wanted.quantity}")
        args += [str(wanted.order_id), wanted.buyer, wanted.quantity]
    return [_admission(answer) for answer in _run("claim", item_id, epoch, *args)]


def _admission(answer: list[Any]) -> Admitted | ClaimRefused | NotLoaded:
    code = Code(answer[0])
    if code is Code.DONE:
        seq, left, expires_at, flipped = answer[1:]
        return Admitted(seq, left, expires_at, bool(flipped))
    if code is Code.REPEATED:
        state, seq, left, expires_at, flipped = answer[1:]
        return Admitted(seq, left, expires_at, bool(flipped), True, state)
    if code in REFUSALS:
        return ClaimRefused(REFUSALS[code], answer[1] if len(answer) > 1 else 0)
    return _lost(code)


def _lost(code: Code) -> NotLoaded:
    return WrongEpoch() if code is Code.WRONG_EPOCH else NotLoaded()


def _step(answer: list[Any]) -> Step:
    code, details = Code(answer[0]), answer[1:]
    if code is Code.DONE:
        seq, left, flipped = (*details, 0, 0)[:3]
        return Step(seq, False, "", left, bool(flipped))
    if code is Code.REPEATED:
        return Step(0, True, str(details[0]))
    if code in (Code.NOT_LOADED, Code.WRONG_EPOCH):
        raise _lost(code)
    raise StepRefused(code, str(details[0]) if details else "")


def begin_payment(item_id: int, *, epoch: int, order_id: UUID) -> Step:
    """Held -> paying. Raises StepRefused with WRONG_STATE, HOLD_ENDED or UNKNOWN."""
    return _step(_run("begin_payment", item_id, epoch, str(order_id)))


def confirm(item_id: int, *, epoch: int, order_id: UUID) -> Step:
    """Paying -> paid; repeatable. Raises StepRefused with WRONG_STATE or UNKNOWN."""
    return _step(_run("confirm", item_id, epoch, str(order_id)))


def release(item_id: int, *, epoch: int, order_id: UUID, reason: str) -> Step:
    """Give an unpaid claim's units back; `reason` is expired, cancelled or declined."""
    return _step(_run("release", item_id, epoch, str(order_id), reason))


def release_many(
    item_id: int, *, epoch: int, order_ids: Sequence[UUID], reason: str
) -> list[Step | Exception]:
    """Release a batch in one round trip; one answer or exception per order."""
    if settings.SALE_REDIS_CLUSTER:  # its pipelines cannot run scripts
        return [
            _outcome(partial(_run, "release", item_id, epoch, str(order_id), reason))
            for order_id in order_ids
        ]
    connected = _ready()
    pipeline = connected.pipeline(transaction=False)
    for order_id in order_ids:
        pipeline.evalsha(
            SHAS["release"], 4, *keys(item_id), str(epoch), str(order_id), reason
        )
    with _translated():
        answers = pipeline.execute(raise_on_error=False)
    return [_outcome(partial(_answered, answer)) for answer in answers]


def _answered(answer: Any) -> list[Any]:
    with _translated():
        if isinstance(answer, Exception):
            raise answer
    return answer  # type: ignore[no-any-return]


def _outcome(ask: Callable[[], list[Any]]) -> Step | Exception:
    try:
        return _step(ask())
    except (NotLoaded, StepRefused, Unsure) as error:
        return error


def refund(item_id: int, *, epoch: int, order_id: UUID, restock: bool) -> Step:
    """Paid -> refunded; with `restock` the units can be claimed again."""
    return _step(_run("refund", item_id, epoch, str(order_id), int(restock)))


def reclaim(item_id: int, *, epoch: int, order_id: UUID, target: str) -> Admitted:
    """Take a released claim's units again, as "held" or, for late money, "paying".

    Raises ClaimRefused when none can be had, StepRefused on a refunded claim.
    """
    answer = _run("reclaim", item_id, epoch, str(order_id), target)
    code = Code(answer[0])
    if code is Code.DONE:
        seq, left, expires_at, flipped = answer[1:]
        return Admitted(seq, left, expires_at, bool(flipped), state=target)
    if code is Code.REPEATED:
        return Admitted(0, 0, 0, False, True, answer[1])
    if code in REFUSALS:
        raise ClaimRefused(REFUSALS[code], answer[1] if len(answer) > 1 else 0)
    _step(answer)
    raise AssertionError(answer)


def find(item_id: int, order_id: UUID) -> StoredClaim | None:
    """The claim of that order id as a verified Redis has it now, or None.

    Raises NotLoaded when Redis may have forgotten it.
    """
    answer = _run("find", item_id, str(order_id))
    code = Code(answer[0])
    if code is Code.UNKNOWN:
        return None
    if code is not Code.DONE:
        raise _lost(code)
    return StoredClaim.parse(answer[1])


# -- Items ------------------------------------------------------------------------


def preload(item_id: int, counters: Snapshot, *, event: str = "preload") -> Step:
    """Create an item's counters unless they are there; same epoch again is a no-op.

    `counters.seq` is the last number used so far; the creation takes the next one.
    Raises WrongEpoch when another life is there, StepRefused CONFLICT on leftovers.
    """
    args: list[str | int] = [counters.epoch, event]
    for field in META_FIELDS:
        if field != "epoch":
            args += [field, getattr(counters, field)]
    return _step(_run("preload", item_id, *args))


def adjust(
    item_id: int,
    *,
    epoch: int,
    ref: str = "",
    fenced: bool = True,
    **changes: int | str,
) -> Step:
    """Change units (a delta), floor, limit, window or state in one step.

    With `ref` the change is made once, however often it is sent. With `verified` (the
    epoch) it also changes an item in doubt, and without `fenced` it works before the
    node's fence is open: for recovery and settlement only. Raises StepRefused TOO_MANY
    when it takes back more than is unclaimed.
    """
    pairs = [part for pair in changes.items() for part in pair]
    return _step(_run("adjust", item_id, epoch, ref, *pairs, fenced=fenced))


def restore(
    item_id: int, *, epoch: int, claims: Iterable[tuple[UUID, StoredClaim]]
) -> None:
    """Put claims back into an item that is being recovered, with their buyers."""
    args: list[str | int] = []
    for order_id, stored in claims:
        owns = stored.state in ("held", "paying", "paid")
        share = f"{stored.buyer}|{stored.quantity}" if owns else ""
        args += [str(order_id), str(stored), share]
    _step(_run("restore", item_id, epoch, *args))


def snapshot(item_id: int) -> Snapshot:
    """All counters of an item at one moment. Raises NotLoaded when some are missing."""
    answer = _run("audit", item_id)
    if answer[0] != Code.DONE:
        raise NotLoaded(f"item {item_id} has no counters")
    _, now, flat, claims, buyers, events, last_id, whole = answer
    meta = dict(zip(flat[::2], flat[1::2], strict=True))
    try:
        numbers: dict[str, Any] = {f: int(meta[f]) for f in META_FIELDS if f != "state"}
        state = meta["state"]
    except (KeyError, ValueError) as error:
        raise NotLoaded(f"item {item_id} has damaged counters: {error}") from error
    return Snapshot(
        **numbers,
        state=state,
        now=now,
        claims=claims,
        buyers=buyers,
        events=events,
        last_id=last_id,
        is_whole=bool(whole),
    )


def clock() -> int:
    """Redis time in milliseconds: the one by which sales open and close."""
    connected = _ready()
    options: dict[str, Any] = {}
    if settings.SALE_REDIS_CLUSTER:
        options["target_nodes"] = "random"
    with _translated():
        answer: Any = connected.time(**options)
    if isinstance(answer, dict):
        answer = next(iter(answer.values()))
    return int(answer[0]) * 1000 + int(answer[1]) // 1000


def snapshots(item_ids: Sequence[int]) -> dict[int, Snapshot]:
    """The counters of several items, without those that are not loaded; one trip.

    An item that is damaged, or whose node of a cluster is away, is left out too. Reads
    only; a page may call it often.
    """
    if settings.SALE_REDIS_CLUSTER:
        return _snapshots_of_nodes(item_ids)
    connected = _ready()
    pipeline = connected.pipeline(transaction=False)
    for item_id in item_ids:
        pipeline.hmget(keys(item_id)[0], *META_FIELDS)
    pipeline.time()
    with _translated():
        *rows, time = pipeline.execute(raise_on_error=False)
        if isinstance(time, Exception):
            raise time
    now = int(time[0]) * 1000 + int(time[1]) // 1000
    found = {}
    for item_id, row in zip(item_ids, rows, strict=True):
        if isinstance(row, Exception) or None in row:
            continue
        values = dict(zip(META_FIELDS, row, strict=True))
        state = values.pop("state")
        with suppress(ValueError):
            numbers: dict[str, Any] = {f: int(value) for f, value in values.items()}
            found[item_id] = Snapshot(**numbers, state=state, now=now)
    return found


def _snapshots_of_nodes(item_ids: Sequence[int]) -> dict[int, Snapshot]:
    """Item by item, asking a node that is away only once. Raises if all are."""
    found, away, doubt = {}, set(), None
    for item_id in item_ids:
        node = node_of(item_id)
        if node in away:
            continue
        try:
            found[item_id] = snapshot(item_id)
        except (Unreachable, Unsure) as error:
            away.add(node)
            doubt = error
        except NotLoaded:
            continue
    if doubt is not None and not found:
        raise doubt
    return found


def events(item_id: int, *, after: int, limit: int) -> list[Event]:
    """Events with a higher seq, oldest first, at most `limit`."""
    connected = _ready()
    with _translated():
        rows = connected.xrange(keys(item_id)[3], f"{after + 1}-0", "+", limit)
    return [Event(id_, fields) for id_, fields in cast(list[Any], rows)]


def event(item_id: int, seq: int) -> Event | None:
    """The event with exactly that seq, or None."""
    found = events(item_id, after=seq - 1, limit=1)
    return found[0] if found and found[0].seq == seq else None


def claims(item_id: int) -> Iterator[tuple[UUID, StoredClaim]]:
    """Every claim of an item, in no order; not a snapshot if the sale goes on."""
    connected = _ready()
    with _translated():
        for field, text in connected.hscan_iter(keys(item_id)[1], count=1000):
            if not field.startswith("_"):
                yield UUID(field), StoredClaim.parse(text)


def buyers(item_id: int) -> dict[str, int]:
    """Units owned per buyer, without those that own none; like `claims`."""
    connected = _ready()
    with _translated():
        rows = connected.hscan_iter(keys(item_id)[2], count=1000)
        owned = {str(buyer): int(units) for buyer, units in rows if buyer != "_epoch"}
    return {buyer: units for buyer, units in owned.items() if units}


def delete(item_id: int) -> None:
    """Remove all keys of an item: after settlement, or before it is rebuilt."""
    connected = _ready()
    with _translated():
        connected.unlink(*keys(item_id))


# -- The journal ------------------------------------------------------------------
# A second note of each admitted claim, on the queue's server, until it is drained: so
# that a claim somebody was told about outlives even the loss of the whole sale Redis.
# Recovery closes the notebook of an epoch before it reads it, so a claim is either
# read there or its note is refused and its buyer is not told.

NOTE = """
local closed = redis.call("HGET", KEYS[1], "_closed")
if closed and tonumber(closed) >= tonumber(ARGV[1]) then return 0 end
redis.call("HSET", KEYS[1], ARGV[2], ARGV[3])
return 1
"""


def journal(item_id: int, order_id: UUID, claim: StoredClaim, *, epoch: int) -> None:
    """Note what a claim's buyer is about to be told. A failure is only logged.

    Raises Unsure when the item has been rebuilt since: the claim may be lost.
    """
    try:
        is_noted = _journal().eval(
            NOTE, 1, _journal_key(item_id), str(epoch), str(order_id), str(claim)
        )
    except RedisError as error:
        logger.warning("claim %s is not in the journal: %s", order_id, error)
        return
    if not is_noted:
        raise Unsure(f"item {item_id} was rebuilt meanwhile")


def close_journal(item_id: int, epoch: int) -> None:
    """Refuse notes of this epoch and of older ones from here on."""
    try:
        _journal().hset(_journal_key(item_id), "_closed", str(epoch))
    except RedisError as error:
        logger.warning("the journal of item %s stays open: %s", item_id, error)


def journaled(item_id: int) -> dict[UUID, StoredClaim]:
    """Claims noted and not yet drained; empty when the journal cannot be read."""
    try:
        rows = cast(dict[str, str], _journal().hgetall(_journal_key(item_id)))
    except RedisError as error:
        logger.warning("the journal of item %s cannot be read: %s", item_id, error)
        return {}
    return {
        UUID(order_id): StoredClaim.parse(text)
        for order_id, text in rows.items()
        if order_id != "_closed"
    }


def forget_journal(item_id: int, order_ids: Sequence[str]) -> None:
    """Drop the notes of claims that are in PostgreSQL now."""
    try:
        if order_ids:
            _journal().hdel(_journal_key(item_id), *order_ids)
    except RedisError as error:
        logger.warning("the journal of item %s keeps old notes: %s", item_id, error)


def drop_journal(item_id: int) -> None:
    """Remove a settled item's journal."""
    try:
        _journal().delete(_journal_key(item_id))
    except RedisError as error:
        logger.warning("the journal of item %s is still there: %s", item_id, error)


def _journal_key(item_id: int) -> str:
    return f"flash:{{{item_id}}}:journal"


def _journal() -> redis.Redis:
    owner = (os.getpid(), settings.QUEUE_REDIS_URL)
    if getattr(_local, "journal_owner", None) != owner:
        _local.journal_client = redis.Redis.from_url(
            settings.QUEUE_REDIS_URL,
            decode_responses=True,
            single_connection_client=True,
            socket_timeout=settings.SALE_REDIS_TIMEOUT_MS / 1000,
            socket_connect_timeout=settings.SALE_REDIS_TIMEOUT_MS / 1000,
            retry=Retry(NoBackoff(), 1),  # a repeated note is the same note
        )
        _local.journal_owner = owner
    return _local.journal_client  # type: ignore[no-any-return]


# -- The fence --------------------------------------------------------------------


def node_of(item_id: int) -> str:
    """The node that holds an item; items of one node are verified together."""
    connected = _ready()
    if not settings.SALE_REDIS_CLUSTER:
        return "sale"
    with _translated():
        return str(connected.get_node_from_key(keys(item_id)[0]).name)  # type: ignore[attr-defined]


def has_scripts(item_id: int) -> bool:
    """Whether the item's node was verified since it last started."""
    connected = _node_client(item_id)
    with _translated():
        return all(connected.script_exists(*SHAS.values()))


class Witness:
    """A connection to an item's node that stands while the node's items are verified.

    It ends with the server's process, and it never connects again by itself. So what
    `load_scripts` reaches is what was looked at since the witness was made.
    """

    def __init__(self, item_id: int) -> None:
        pool = _node_client(item_id).connection_pool
        with _translated():
            self._connection = pool.make_connection()
            self._connection.connect()  # type: ignore[no-untyped-call]

    def load_scripts(self) -> None:
        """Open the fence of the node. Raises Unsure when the node was restarted."""
        with _translated():
            for text in SCRIPTS.values():
                self._connection.send_command(  # type: ignore[no-untyped-call]
                    "SCRIPT", "LOAD", text
                )
                self._connection.read_response()

    def close(self) -> None:
        self._connection.disconnect()  # type: ignore[no-untyped-call]


def flush_scripts() -> None:
    """Close the fence: every call says NotLoaded until recovery has verified."""
    connected = _ready()
    with _translated():
        connected.script_flush()  # of every node, in a cluster


def _node_client(item_id: int) -> redis.Redis:
    connected = _ready()
    if not settings.SALE_REDIS_CLUSTER:
        return connected
    node = connected.get_node_from_key(keys(item_id)[0])  # type: ignore[attr-defined]
    return connected.get_redis_connection(node)  # type: ignore[attr-defined, no-any-return]
