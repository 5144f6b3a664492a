"""The only code that talks to the sale Redis: counters, claims, events of an item.

Each call is one script, so it is decided and written in one step. Two rules keep a
lost or doubtful Redis from selling anything:

- Missing keys mean NotLoaded, never "sold out" and never 0.
- The script cache is the fence. Redis forgets scripts when it restarts or fails over;
  callers use EVALSHA only, and only recovery loads scripts, after every loaded item of
  that node was verified while one connection to it stood.

One connection per thread and process, no client retries, a short time-out: a call whose
answer was lost raises Unsure, and is asked again by its order id. Everybody outside
imports this package and calls `counters.claim(...)`.
"""

from sales.counters.claiming import (
    BUYER,
    begin_payment,
    claim,
    claim_many,
    confirm,
    find,
    look_up,
    reclaim,
    refund,
    release,
    release_many,
)
from sales.counters.connections import client, disconnect, patience
from sales.counters.fence import Witness, flush_scripts, has_scripts, node_of
from sales.counters.loading import (
    adjust,
    delete,
    keep_for_line,
    preload,
    restore,
    restore_buyers,
)
from sales.counters.notebook import (
    close_journal,
    drop_journal,
    forget_journal,
    journal,
    journaled,
)
from sales.counters.reading import (
    buyers,
    claims,
    clock,
    event,
    events,
    snapshot,
    snapshots,
)
from sales.counters.records import (
    META_FIELDS,
    POLICY_FIELDS,
    Claim,
    Event,
    Note,
    Snapshot,
    StoredClaim,
)
from sales.counters.replies import (
    REFUSALS,
    Admitted,
    ClaimRefused,
    Code,
    NotLoaded,
    Step,
    StepRefused,
    Unreachable,
    Unsure,
    WrongEpoch,
)
from sales.counters.scripts import LUA, PARTS, SCRIPTS, SHAS, UNFENCED, keys

__all__ = [
    "BUYER",
    "LUA",
    "META_FIELDS",
    "PARTS",
    "POLICY_FIELDS",
    "REFUSALS",
    "SCRIPTS",
    "SHAS",
    "UNFENCED",
    "Admitted",
    "Claim",
    "ClaimRefused",
    "Code",
    "Event",
    "NotLoaded",
    "Note",
    "Snapshot",
    "Step",
    "StepRefused",
    "StoredClaim",
    "Unreachable",
    "Unsure",
    "Witness",
    "WrongEpoch",
    "adjust",
    "begin_payment",
    "buyers",
    "claim",
    "claim_many",
    "claims",
    "client",
    "clock",
    "close_journal",
    "confirm",
    "delete",
    "disconnect",
    "drop_journal",
    "event",
    "events",
    "find",
    "flush_scripts",
    "forget_journal",
    "has_scripts",
    "journal",
    "journaled",
    "keep_for_line",
    "keys",
    "look_up",
    "node_of",
    "patience",
    "preload",
    "reclaim",
    "refund",
    "release",
    "release_many",
    "restore",
    "restore_buyers",
    "snapshot",
    "snapshots",
]
