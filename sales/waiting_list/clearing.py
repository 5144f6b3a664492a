"""Places in the lines of old sales are deleted; what a report tells of them is kept."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet, Sum
from django.db.models.functions import Coalesce

from sales.models import FlashSaleItem, ForgottenLine, SaleState, WaitingEntry
from sales.models.waiting_list import OPEN

KEPT = timedelta(days=90)
BATCH = 1000
DONE = (SaleState.SETTLED, SaleState.CANCELLED)


def forget_old(now: datetime, *, batch: int = BATCH) -> int:
    """Delete who stood in line for sales that closed long ago; return how many.

    Some at a time, each with its numbers in one transaction, so that a crash or a
    second run loses and doubles none of them.
    """
    items = FlashSaleItem.objects.filter(
        Exists(_ended().filter(item=OuterRef("pk"))),
        sale__state__in=DONE,
        closes_at__lt=now - KEPT,
    )
    forgotten = 0
    for item_id in list(items.values_list("pk", flat=True)):
        while some := _forget(item_id, batch):
            forgotten += some
    return forgotten


def tally(items: Collection[FlashSaleItem]) -> dict[str, int]:
    """How many joined, were made an offer, and bought, the forgotten among them."""
    found = WaitingEntry.objects.filter(item__in=items).tally()
    gone = ForgottenLine.objects.filter(item__in=items)
    sums = gone.aggregate(**{name: Coalesce(Sum(name), 0) for name in found})
    return {name: found[name] + sums[name] for name in found}


def _ended() -> QuerySet[WaitingEntry]:
    """Entries that have ended and told whom they had to tell."""
    return WaitingEntry.objects.exclude(OPEN).filter(next_try_at=None)


@transaction.atomic
def _forget(item_id: int, batch: int) -> int:
    ForgottenLine.objects.get_or_create(item_id=item_id)
    line = ForgottenLine.objects.select_for_update().filter(item_id=item_id)
    line.get()  # one run at a time
    rows = _ended().filter(item=item_id).order_by("pk").values_list("pk", flat=True)
    entries = WaitingEntry.objects.filter(pk__in=list(rows[:batch]))
    line.update(**{name: F(name) + n for name, n in entries.tally().items()})
    return entries.delete()[0]
