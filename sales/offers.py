"""The flash sales that products are in now, for the catalog's API."""

import logging
from collections.abc import Collection

from django.utils import timezone

from catalog.schemas import FlashOut
from sales import flash
from sales.counters import NotLoaded, Unsure
from sales.flash import Live
from sales.models import FlashSaleItem, SaleState

logger = logging.getLogger(__name__)


def current(product_ids: Collection[int]) -> dict[int, FlashOut]:
    """The running flash sale of each product that is in one, by product id."""
    now = timezone.now()
    items = FlashSaleItem.objects.select_related("sale").filter(
        product_id__in=product_ids,
        sale__state__in=[SaleState.LOADED, SaleState.LIVE, SaleState.PAUSED],
        opens_at__lte=now,
        closes_at__gt=now,
    )
    found = {item.pk: item for item in items if item.is_loaded}
    shown = live(found)
    return {
        item.product_id: FlashOut(
            sale_id=item.sale_id,
            name=item.sale.name,
            price=item.price,
            opens_at=item.opens_at,
            closes_at=item.closes_at,
            state=shown[pk].state if pk in shown else "not_loaded",
            left=shown[pk].sellable if pk in shown else None,
            limit_per_buyer=item.limit_per_buyer,
        )
        for pk, item in found.items()
    }


def live(item_ids: Collection[int]) -> dict[int, Live]:
    """Live numbers, or none of them when Redis cannot be asked."""
    if not item_ids:
        return {}
    try:
        return flash.live(item_ids)
    except (NotLoaded, Unsure) as error:
        logger.warning("no live numbers for items %s: %s", list(item_ids), error)
        return {}
