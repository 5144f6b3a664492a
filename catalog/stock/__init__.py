"""The only writer of stock quantities, and of the ledger that explains them.

Each public function is one transaction (or part of the caller's): a conditional UPDATE
per product in primary-key order, then one movement per product and one StatusChange per
flip, with the values the row had under its lock. Either all of it happens or none.
"""

from catalog.stock.allocating import allocate, apply_steps, deallocate
from catalog.stock.counting import adjust, adjust_many, receive, repair
from catalog.stock.opening import Opening, open_many, open_stock
from catalog.stock.ordering import release, release_many, reserve, ship, take_back
from catalog.stock.terms import (
    Delta,
    InsufficientStock,
    Kind,
    Note,
    Shortage,
    StockConflict,
    VersionConflict,
    check_on_hand,
    check_quantity,
)
from catalog.stock.writing import follow, hold, lock, record_flips

__all__ = [
    "Delta",
    "InsufficientStock",
    "Kind",
    "Note",
    "Opening",
    "Shortage",
    "StockConflict",
    "VersionConflict",
    "adjust",
    "adjust_many",
    "allocate",
    "apply_steps",
    "check_on_hand",
    "check_quantity",
    "deallocate",
    "follow",
    "hold",
    "lock",
    "open_many",
    "open_stock",
    "receive",
    "record_flips",
    "release",
    "release_many",
    "repair",
    "reserve",
    "ship",
    "take_back",
]
