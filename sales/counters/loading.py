"""An item's counters as a whole: created, changed, restored, removed."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from sales.counters import connections, replies, scripts
from sales.counters.records import (
    META_FIELDS,
    POLICY_FIELDS,
    Snapshot,
    StoredClaim,
)
from sales.counters.replies import Step


def preload(item_id: int, counters: Snapshot, *, event: str = "preload") -> Step:
    """Create an item's counters unless they are there; same epoch again is a no-op.

    `counters.seq` is the last number used so far; the creation takes the next one.
    Raises WrongEpoch when another life is there, StepRefused CONFLICT on leftovers.
    """
    args: list[str | int] = [counters.epoch, event]
    for field in (*META_FIELDS, *POLICY_FIELDS):
        if field != "epoch":
            args += [field, getattr(counters, field)]
    return replies.step(scripts.run("preload", item_id, *args))


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
    return replies.step(
        scripts.run("adjust", item_id, epoch, ref, *pairs, fenced=fenced)
    )


def keep_for_line(item_id: int, *, epoch: int, units: int) -> Step:
    """Set how many units ordinary claims leave to the waiting list; no event."""
    return replies.step(scripts.run("keep_for_line", item_id, epoch, units))


def restore(
    item_id: int, *, epoch: int, claims: Iterable[tuple[UUID | str, StoredClaim]]
) -> None:
    """Put claims back into an item that is being recovered; not what buyers own."""
    pairs = [str(part) for pair in claims for part in pair]
    replies.step(scripts.run("restore", item_id, epoch, "claims", *pairs))


def restore_buyers(item_id: int, *, epoch: int, owned: Mapping[str, int]) -> None:
    """Say how many units buyers own of an item that is being recovered."""
    pairs = [part for pair in owned.items() for part in pair]
    replies.step(scripts.run("restore", item_id, epoch, "buyers", *pairs))


def delete(item_id: int) -> None:
    """Remove all keys of an item: after settlement, or before it is rebuilt."""
    connected = connections.ready()
    with connections.translated():
        connected.unlink(*scripts.keys(item_id))
