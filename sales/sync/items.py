"""The state of an item whose counters live in Redis, and which of them are behind."""

import logging

from django.contrib.auth.models import User
from django.db import transaction

from sales import counters
from sales.models import FlashSaleItem, ItemState, SaleTransition

logger = logging.getLogger(__name__)

UNDRAINED = (ItemState.WAITING, ItemState.SETTLED, ItemState.FROZEN)


def freeze(item_id: int, why: str) -> bool:
    """Stop an item that is in doubt, in Redis first; recovery takes it from there.

    Returns whether Redis admits nobody any more, whichever life it holds.
    """
    logger.error("flash item %s is frozen: %s", item_id, why)
    is_closed = True
    try:
        epoch = counters.snapshot(item_id).epoch
        counters.adjust(
            item_id, epoch=epoch, verified=epoch, fenced=False, state="frozen"
        )
    except (counters.Unreachable, counters.Unsure):
        is_closed = False
        logger.warning("flash item %s: Redis could not be told", item_id)
    except counters.NotLoaded:
        logger.info("flash item %s: nothing to close", item_id)
    with transaction.atomic():
        item = FlashSaleItem.objects.select_for_update().get(pk=item_id)
        if item.state in (ItemState.LOADED, ItemState.PAUSED):
            move_item(item, ItemState.FROZEN, note=why)
    return is_closed


def move_item(
    item: FlashSaleItem, state: str, *, note: str = "", actor: User | None = None
) -> None:
    """Put a locked item into another state, with its line in the log."""
    SaleTransition.objects.create(
        sale_id=item.sale_id,
        item=item,
        from_state=item.state,
        to_state=state,
        note=note[:200],
        actor=actor,
    )
    item.state = state
    sound = state in (ItemState.LOADED, ItemState.SETTLED)
    item.doubt = "" if sound else note[:200]
    item.save(update_fields=["state", "doubt"])


def behind() -> list[int]:
    """Ids of loaded items whose counters have moved on from what is in PostgreSQL.

    One query and one trip to Redis for all items, so an idle shop costs little. Items
    that Redis has lost are not among them: recovery looks for those.
    """
    offsets = dict(
        FlashSaleItem.objects.exclude(state__in=UNDRAINED)
        .order_by("pk")
        .values_list("pk", "last_seq")
    )
    if not offsets:
        return []
    found = counters.snapshots(list(offsets))
    return [pk for pk, s in found.items() if s.seq != offsets[pk]]


def loaded_items() -> list[int]:
    """Ids of the items whose counters should be in Redis, in key order."""
    loaded = FlashSaleItem.objects.exclude(
        state__in=[ItemState.WAITING, ItemState.SETTLED]
    )
    return list(loaded.order_by("pk").values_list("pk", flat=True))
