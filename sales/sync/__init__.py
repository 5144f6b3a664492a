"""From an item's stream in Redis to PostgreSQL, exactly once.

`drain` reads the events after the stored offset, folds them, and writes events, orders,
stock, ledger and the new offset in one transaction. So a crash at any line, a repeat,
or a second runner changes nothing: the row lock lets one runner in, and the offset
commits together with what the events did.
"""

from sales.sync.draining import drain, drain_locked
from sales.sync.items import UNDRAINED, behind, freeze, loaded_items, move_item
from sales.sync.order_rows import LINE_FIELDS, ORDER_FIELDS, UPDATE_ORDERS
from sales.sync.recording import EVENT_FIELDS, record
from sales.sync.stored import claims_of, counters_of
from sales.sync.stream import (
    BATCH,
    Gap,
    check_contiguous,
    foresee,
    lag,
    oldest_waiting,
    parse,
)
from sales.sync.times import milliseconds, moment

__all__ = [
    "BATCH",
    "EVENT_FIELDS",
    "LINE_FIELDS",
    "ORDER_FIELDS",
    "UNDRAINED",
    "UPDATE_ORDERS",
    "Gap",
    "behind",
    "check_contiguous",
    "claims_of",
    "counters_of",
    "drain",
    "drain_locked",
    "foresee",
    "freeze",
    "lag",
    "loaded_items",
    "milliseconds",
    "moment",
    "move_item",
    "oldest_waiting",
    "parse",
    "record",
]
