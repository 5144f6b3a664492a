"""Keep the live counters' floors in step with thresholds and stock in PostgreSQL.

`floor = max(0, safety_threshold - available)`: what the regular shop cannot keep of the
safety stock, the flash sale must. A floor rises before the change in PostgreSQL commits
and falls after it, so Redis is never more open than PostgreSQL.
"""

import logging
from collections.abc import Collection
from functools import partial

from django.db import transaction
from django.db.models import F

from catalog import copying, stock
from catalog.models import Stock
from sales import counters
from sales.models import FlashSaleItem, ItemState

logger = logging.getLogger(__name__)


def floor_of(row: Stock) -> int:
    """Units of an allocation that are safety stock."""
    return max(0, row.safety_threshold - (row.on_hand - row.reserved - row.allocated))


def follow(product_ids: Collection[int]) -> None:
    """Take over new limits of products; called under their stock rows' locks.

    Named by the setting SHOP_STOCK_FOLLOWER. A Redis that does not answer is left to
    recovery, which computes the floors anew.
    """
    if in_sale := {item.product_id for item in _items(product_ids)}:
        _set(in_sale, only_rise=True)
        transaction.on_commit(partial(settle, in_sale))


@transaction.atomic
def settle(product_ids: Collection[int]) -> None:
    """Set the floors exactly, under the lock of the stock rows. Safe to repeat."""
    _set(product_ids, only_rise=False)


def _set(product_ids: Collection[int], *, only_rise: bool) -> None:
    rows = stock.lock(product_ids)
    for item in _items(product_ids):
        floor = floor_of(rows[item.product_id])
        try:
            snapshot = counters.snapshot(item.pk)
            if floor > snapshot.floor or (floor < snapshot.floor and not only_rise):
                counters.adjust(item.pk, epoch=item.epoch, floor=floor)
        except (counters.NotLoaded, counters.Unsure) as error:
            logger.warning("flash item %s: floor not set: %s", item.pk, error)


def _items(product_ids: Collection[int]) -> list[FlashSaleItem]:
    loaded = FlashSaleItem.objects.filter(copying.AnyOf(F("product_id"), product_ids))
    return list(
        loaded.exclude(state__in=[ItemState.WAITING, ItemState.SETTLED]).order_by("pk")
    )
