"""The drain: one runner an item, batch after batch."""

import time
from datetime import timedelta

from django.db import DataError, IntegrityError, transaction

from catalog import stock
from sales import counters
from sales.models import FlashSaleItem, ItemState
from sales.sync import items, recording, stream
from sales.sync.stream import BATCH, Gap


def drain(
    item_id: int, *, budget: timedelta = timedelta(seconds=20), batch: int = BATCH
) -> int:
    """Bring an item's waiting events into PostgreSQL; return how many.

    Returns at once when somebody else is draining the item, or when it has no counters.
    Each batch is one transaction; stops when nothing waits or the budget is spent.
    A gap or a wrong epoch freezes the item and leaves its events where they are.
    Raises NotLoaded or Unsure when Redis does not answer.
    """
    deadline = time.monotonic() + budget.total_seconds()
    drained = refused = 0
    while True:
        try:
            count = _drain_batch(item_id, batch)
        except Gap as doubt:
            items.freeze(item_id, str(doubt))
            return drained
        except (IntegrityError, DataError, stock.StockConflict) as error:
            refused += 1
            if refused > 1:  # once may be a race: a regular order took the same id
                items.freeze(item_id, f"PostgreSQL refused the events: {error}")
                return drained
            continue
        drained += count
        if count < batch or time.monotonic() >= deadline:
            return drained


@transaction.atomic
def _drain_batch(item_id: int, batch: int) -> int:
    item = (
        # NO KEY: somebody who joins the item's waiting list is no reason to skip it.
        FlashSaleItem.objects.select_for_update(skip_locked=True, no_key=True)
        .filter(state__in=[ItemState.LOADED, ItemState.PAUSED])
        .filter(pk=item_id)
        .first()
    )
    if item is None:
        return 0
    return drain_locked(item, batch)


def drain_locked(item: FlashSaleItem, batch: int = BATCH) -> int:
    """Drain one batch of an item whose row the caller has locked. Raises Gap."""
    waiting = counters.events(item.pk, after=item.last_seq, limit=batch)
    if waiting:
        stream.check_contiguous(item, waiting)
        recording.record(item, [stream.parse(event) for event in waiting])
        # Lost at worst together with this process; recovery skips what is known.
        known = [e.fields["order_id"] for e in waiting if "order_id" in e.fields]
        last = item.last_seq
        transaction.on_commit(
            lambda: counters.forget_journal(item.pk, known, up_to=last)
        )
    return len(waiting)
