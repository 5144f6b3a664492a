"""What a flash item's page says beyond its counters: prices, and when a hold ends.

PostgreSQL knows both. A tick copies them into the cache every second, so that a page
that looks again needs no query and is hardly ever older than that.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core.cache import cache
from django.db.models import F, Min

from sales.models import FlashSaleItem, ItemState, Order, OrderState, SaleState

logger = logging.getLogger(__name__)

SHOWN = (SaleState.SCHEDULED, SaleState.LOADED, SaleState.LIVE, SaleState.PAUSED)
KEPT_SECONDS = 10  # without a tick, pages keep what they were made with


@dataclass(frozen=True, slots=True)
class Tag:
    """An item's price, its former price, and the end of the hold that ends next."""

    price: Decimal
    was: Decimal
    next_hold_at: datetime | None = None


def write() -> int:
    """Copy the tags of all items that can be seen into the cache; return how many.

    Only items with nothing left to claim have a next hold: nobody waits for others.
    """
    items = FlashSaleItem.objects.filter(sale__state__in=SHOWN)
    rows = items.exclude(state=ItemState.SETTLED).values_list(
        "pk", "price", "product__price", "left", "floor", "held"
    )
    found = list(rows)
    out = [pk for pk, _, _, left, floor, held in found if held and left <= floor]
    ends = _next_holds(out) if out else {}
    tags = {_key(pk): (price, was, ends.get(pk)) for pk, price, was, _, _, _ in found}
    if tags:
        cache.set_many(tags, KEPT_SECONDS)
    return len(tags)


def read(item_ids: Collection[int]) -> dict[int, Tag]:
    """The tags of items, as far as they are known; no query."""
    try:
        found = cache.get_many([_key(pk) for pk in item_ids])
    except Exception as error:  # whatever the cache's server does
        logger.warning("no price tags: %s", error)
        return {}
    return {pk: Tag(*found[_key(pk)]) for pk in item_ids if _key(pk) in found}


def _next_holds(item_ids: Collection[int]) -> dict[int, datetime]:
    held = Order.objects.filter(state=OrderState.HELD, flash_item__in=item_ids)
    rows = held.order_by().values(item=F("flash_item")).annotate(at=Min("expires_at"))
    return {row["item"]: row["at"] for row in rows}


def _key(item_id: int) -> str:
    return f"flash-tag:{item_id}"
