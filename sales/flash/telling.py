"""Redis is told what PostgreSQL has decided: state, limit, closing time."""

import logging
from typing import Any

from django.db import transaction

from sales import counters, sync
from sales.counters import NotLoaded, Unsure
from sales.flash import states
from sales.models import FlashSaleItem, ItemState, SaleState

logger = logging.getLogger(__name__)


def tell(item: FlashSaleItem, state: str = "", **changes: int) -> None:
    """Change an item in Redis; lost counters admit nobody, so they need no telling.

    Raises Unreachable or Unsure when it is not known what Redis does.
    """
    told: dict[str, Any] = {**changes, "state": state} if state else {**changes}
    try:
        counters.adjust(item.pk, epoch=item.epoch, **told)
    except counters.Unreachable:
        raise
    except NotLoaded as error:
        logger.warning("flash item %s: %s; recovery will follow", item.pk, error)


def wanted_state(item: FlashSaleItem) -> str:
    """The word Redis should have for an item, by PostgreSQL."""
    if item.sale.state in (SaleState.ENDED, SaleState.CANCELLED, SaleState.SETTLED):
        return "ended"
    if item.sale.state == SaleState.PAUSED or item.state == ItemState.PAUSED:
        return "paused"
    return "room" if item.sale.has_waiting_room else "open"


def reconcile(sale_id: int) -> None:
    """Tell Redis a sale's state now; what fails is left to the next tick."""
    try:
        with transaction.atomic():
            states.locked(sale_id)
            reconcile_all(sale_id)
    except (NotLoaded, Unsure) as error:
        logger.warning("flash sale %s: Redis is told later: %s", sale_id, error)


def reconcile_all(sale_id: int) -> None:
    """Tell Redis what PostgreSQL has, for items that are not in doubt."""
    items = FlashSaleItem.objects.select_related("sale").filter(sale_id=sale_id)
    for item in items.filter(state__in=[ItemState.LOADED, ItemState.PAUSED]):
        tell(
            item,
            state=wanted_state(item),
            limit=item.limit_per_buyer,
            closes_at=sync.milliseconds(item.closes_at),
        )
