"""What an item's counters, claims and events are now; nothing is changed."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

from django.conf import settings

from sales.counters import connections, fence, scripts
from sales.counters.records import (
    META_FIELDS,
    POLICY_FIELDS,
    Event,
    Snapshot,
    StoredClaim,
)
from sales.counters.replies import Code, NotLoaded, Unreachable, Unsure


def snapshot(item_id: int) -> Snapshot:
    """All counters of an item at one moment. Raises NotLoaded when some are missing."""
    answer = scripts.run("audit", item_id)
    if answer[0] != Code.DONE:
        raise NotLoaded(f"item {item_id} has no counters")
    _, now, flat, claims, buyers, events, last_id, whole = answer
    meta = dict(zip(flat[::2], flat[1::2], strict=True))
    try:
        numbers: dict[str, Any] = {f: int(meta[f]) for f in META_FIELDS if f != "state"}
        numbers |= {f: int(meta.get(f, 0)) for f in POLICY_FIELDS}
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
    connected = connections.ready()
    options: dict[str, Any] = {}
    if settings.SALE_REDIS_CLUSTER:
        options["target_nodes"] = "random"
    with connections.translated():
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
    connected = connections.ready()
    pipeline = connected.pipeline(transaction=False)
    for item_id in item_ids:
        pipeline.hmget(scripts.keys(item_id)[0], *META_FIELDS, *POLICY_FIELDS)
    pipeline.time()
    with connections.translated():
        *rows, time = pipeline.execute(raise_on_error=False)
        if isinstance(time, Exception):
            raise time
    now = int(time[0]) * 1000 + int(time[1]) // 1000
    found = {}
    for item_id, row in zip(item_ids, rows, strict=True):
        if isinstance(row, Exception) or None in row[: len(META_FIELDS)]:
            continue
        values = dict(zip((*META_FIELDS, *POLICY_FIELDS), row, strict=True))
        values |= {f: values[f] or 0 for f in POLICY_FIELDS}
        state = values.pop("state")
        with suppress(ValueError):
            numbers: dict[str, Any] = {f: int(value) for f, value in values.items()}
            found[item_id] = Snapshot(**numbers, state=state, now=now)
    return found


def _snapshots_of_nodes(item_ids: Sequence[int]) -> dict[int, Snapshot]:
    """Item by item, asking a node that is away only once. Raises if all are."""
    found, away, doubt = {}, set(), None
    for item_id in item_ids:
        node = fence.node_of(item_id)
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
    connected = connections.ready()
    with connections.translated():
        rows = connected.xrange(scripts.keys(item_id)[3], f"{after + 1}-0", "+", limit)
    return [Event(id_, fields) for id_, fields in cast(list[Any], rows)]


def event(item_id: int, seq: int) -> Event | None:
    """The event with exactly that seq, or None."""
    found = events(item_id, after=seq - 1, limit=1)
    return found[0] if found and found[0].seq == seq else None


def claims(item_id: int) -> Iterator[tuple[UUID, StoredClaim]]:
    """Every claim of an item, in no order; not a snapshot if the sale goes on."""
    connected = connections.ready()
    with connections.translated():
        for field, text in connected.hscan_iter(scripts.keys(item_id)[1], count=1000):
            if not field.startswith("_"):
                yield UUID(field), StoredClaim.parse(text)


def buyers(item_id: int) -> dict[str, int]:
    """Units owned per buyer, without those that own none; like `claims`."""
    connected = connections.ready()
    with connections.translated():
        rows = connected.hscan_iter(scripts.keys(item_id)[2], count=1000)
        owned = {str(buyer): int(units) for buyer, units in rows if buyer != "_epoch"}
    return {buyer: units for buyer, units in owned.items() if units}
