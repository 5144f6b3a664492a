"""An item's waiting events: read, checked and foreseen; nothing is written."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from sales import counters
from sales.folding import Entry, Fold, Poison
from sales.models import FlashSaleItem
from sales.sync import stored, times

logger = logging.getLogger(__name__)

BATCH = 2000


class Gap(Exception):
    """The stream does not continue where PostgreSQL stopped; the item is in doubt."""


def check_contiguous(item: FlashSaleItem, waiting: Sequence[counters.Event]) -> None:
    """Raise Gap unless the events follow `last_seq` without a hole, in this epoch."""
    for expected, event in enumerate(waiting, start=item.last_seq + 1):
        if event.id != f"{expected}-0":
            raise Gap(f"event {expected} is missing; the next one is {event.id}")
        epoch = event.fields.get("epoch")
        if epoch is not None and epoch != str(item.epoch):
            raise Gap(f"event {event.id} is of epoch {epoch}, not {item.epoch}")


def parse(event: counters.Event) -> tuple[Entry, bool]:
    """The event's entry, and whether it is poison."""
    try:
        return Entry.parse(event.seq, event.fields), False
    except Poison as error:
        logger.error("poison event %s: %s", event.id, error)
        raw = {_plain(k): _plain(v) for k, v in event.fields.items()}
        now = int(time.time() * 1000)
        return Entry(event.seq, 0, "poison", now, details=raw), True


def _plain(text: str) -> str:
    """Text that a JSON field takes, cut to a sensible length."""
    return text[:500].replace("\x00", "\\x00")


def foresee(item: FlashSaleItem, *, up_to: int) -> Fold:
    """Counters and claims as they will be once the waiting events are drained.

    Writes nothing. Raises Gap when the events are not contiguous.
    """
    fold = Fold(counters=stored.counters_of(item))
    position = FlashSaleItem(epoch=item.epoch, last_seq=item.last_seq)
    while position.last_seq < up_to:
        waiting = counters.events(item.pk, after=position.last_seq, limit=BATCH)
        if not waiting:
            raise Gap(f"event {position.last_seq + 1} is missing")
        check_contiguous(position, waiting)
        waiting = [event for event in waiting if event.seq <= up_to]
        parsed = [parse(event) for event in waiting]
        stored.know_claims(item, fold, parsed)
        for entry, is_poison in parsed:
            if not is_poison:
                with suppress(Poison):
                    fold.apply(entry)
        position.last_seq = waiting[-1].seq
    return fold


def lag(item: FlashSaleItem) -> int:
    """How many events wait in Redis for this item."""
    return max(0, counters.snapshot(item.pk).seq - item.last_seq)


def oldest_waiting(item: FlashSaleItem) -> datetime | None:
    """When the oldest event that is not in PostgreSQL yet was written, if there is one.

    Raises NotLoaded or Unsure when Redis does not answer.
    """
    waiting = counters.events(item.pk, after=item.last_seq, limit=1)
    if not waiting or not waiting[0].fields.get("at", "").isdigit():
        return None
    return times.moment(int(waiting[0].fields["at"]))
