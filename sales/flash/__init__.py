"""The life of a flash sale: schedule, preload, claim, pause, end, settle.

draft -> scheduled -> loaded -> live <-> paused -> ended -> settled; draft, scheduled
and loaded -> cancelled. Each transition takes the sale's row lock, is safe to repeat,
and is logged with its actor. PostgreSQL allocates before Redis loads, and Redis stops
before PostgreSQL releases: a crash in between leaves units unsold until the next tick,
never sold twice. Opening and closing happen inside the claim script by Redis time; the
states `live` and `ended` here only follow.
"""

from sales.flash.claims import (
    OUTSIDE,
    Live,
    claim,
    counted,
    forget_epochs,
    live,
    may_enter,
    sale_of,
)
from sales.flash.life import advance, can_resume, cancel, end, pause, resume, schedule
from sales.flash.preloading import (
    Preloaded,
    first_counters,
    hold_milliseconds,
    preload,
    preload_due,
)
from sales.flash.settling import settle
from sales.flash.states import RUNNING, UNLOADED, loaded, locked, log
from sales.flash.telling import reconcile, tell, wanted_state

__all__ = [
    "OUTSIDE",
    "RUNNING",
    "UNLOADED",
    "Live",
    "Preloaded",
    "advance",
    "can_resume",
    "cancel",
    "claim",
    "counted",
    "end",
    "first_counters",
    "forget_epochs",
    "hold_milliseconds",
    "live",
    "loaded",
    "locked",
    "log",
    "may_enter",
    "pause",
    "preload",
    "preload_due",
    "reconcile",
    "resume",
    "sale_of",
    "schedule",
    "settle",
    "tell",
    "wanted_state",
]
