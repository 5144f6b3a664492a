"""What the counters keep for the line of an item, and claims that are given back."""

from contextlib import suppress

from django.db import connection, transaction

from sales import counters
from sales.models import EntryState, FlashSaleItem, WaitingEntry


@transaction.atomic
def keep(item_id: int) -> None:
    """Have the counters keep exactly what the line wants now. Safe to repeat.

    Raises NotLoaded or Unsure when Redis cannot be told.
    """
    take_turns(item_id)
    item = FlashSaleItem.objects.get(pk=item_id)
    if item.is_loaded:
        keep_for(item)


def take_turns(item_id: int) -> None:
    """Wait for whoever changes or counts the line of this item; until the commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"waiting-list:{item_id}"],
        )


def keep_for(item: FlashSaleItem) -> None:
    """The same, for the transaction of somebody whose turn it is."""
    units = WaitingEntry.objects.filter(item=item).wanted().get(item.pk, 0)
    counters.keep_for_line(item.pk, epoch=item.epoch, units=units)


def release(entry: WaitingEntry) -> None:
    """Give back the claim of somebody who has left, if there is one.

    Raises NotLoaded or Unsure; the hold ends by itself then.
    """
    item = FlashSaleItem.objects.get(pk=entry.item_id)
    if entry.state != EntryState.LEFT or not item.is_loaded:
        return
    stored = counters.find(item.pk, entry.order_id)
    if stored is None or stored.buyer != entry.buyer:
        return
    with suppress(counters.StepRefused):
        counters.release(
            item.pk, epoch=item.epoch, order_id=entry.order_id, reason="cancelled"
        )
