"""One item: verified and drained, or put back from PostgreSQL, then opened."""

import logging
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from catalog import stock
from sales import counters, flash, floors, restoring, sync, waiting_list
from sales.counters import NotLoaded, Snapshot
from sales.folding import COUNTERS, Counters
from sales.models import FlashSaleItem, ItemState, SaleTransition
from sales.recovery import doubts, saving

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found and done for one item, in sentences for an operator."""

    item_id: int
    found: str
    done: str
    rebuilt: bool = False


def recover(item_id: int, *, doubt: str = "") -> Recovered:
    """Verify one item and drain its tail, or rebuild it; nobody is admitted meanwhile.

    With `doubt`, what the audit has found, it is rebuilt in any case. One at a time by
    row lock, safe to repeat after a crash at any line.
    """
    outcome = _look(item_id, doubt) or _put_back(item_id)
    waiting_list.keep(item_id)
    _open(item_id)
    logger.warning("flash item %s: %s; %s", item_id, outcome.found, outcome.done)
    return outcome


@transaction.atomic(durable=True)
def _look(item_id: int, doubt: str = "") -> Recovered | None:
    """What was done for an item that is whole; None if it is to be put back.

    Then PostgreSQL has all that could be saved, and a new epoch that Redis lacks.
    """
    item = _locked(item_id)
    if not item.is_loaded:
        return Recovered(item_id, "the item is not loaded", "nothing to do")
    if item.state == ItemState.RECOVERING:
        return None
    if doubt := doubt or doubts.doubt(item):
        saving.save_what_is_left(item, doubt)
        return None
    while sync.drain_locked(item):
        pass
    outcome = Recovered(item_id, "the counters are whole", "the tail is drained")
    _move(item, _resume_state(item), f"{outcome.found}; {outcome.done}")
    return outcome


@transaction.atomic(durable=True)
def _put_back(item_id: int) -> Recovered:
    """Counters and claims from PostgreSQL, under the new epoch, still closed.

    The keys are marked `recovering` until all is back, so a crash in between is seen.
    """
    item = _locked(item_id)
    found = item.doubt
    if item.state != ItemState.RECOVERING:
        return Recovered(item_id, found, "rebuilt by another process")
    counters.delete(item_id)
    counters.preload(
        item_id, flash.first_counters(item, state="recovering"), event="recover"
    )
    claims = restoring.put_back(item)
    saving.adjust(item, "frozen")
    while sync.drain_locked(item):
        pass
    _check_rebuilt(item, counters.snapshot(item_id), claims)
    item.loaded_at = item.loaded_at or timezone.now()
    item.save(update_fields=["loaded_at"])
    done = f"rebuilt from {claims} orders under epoch {item.epoch}"
    _move(item, _resume_state(item), f"{found}; {done}")
    return Recovered(item_id, found, done, rebuilt=True)


@transaction.atomic(durable=True)
def _open(item_id: int) -> None:
    """Let Redis follow PostgreSQL, which has committed that the item is sound.

    Under the locks of sale, item and stock, so that no pause, settlement or change of
    a threshold comes in between.
    """
    sale_id = FlashSaleItem.objects.values_list("sale_id", flat=True).get(pk=item_id)
    flash.locked(sale_id)
    item = _locked(item_id)
    if item.state in (ItemState.LOADED, ItemState.PAUSED):
        row = stock.lock([item.product_id])[item.product_id]
        saving.adjust(item, flash.wanted_state(item), floor=floors.floor_of(row))


def _locked(item_id: int) -> FlashSaleItem:
    return (
        FlashSaleItem.objects.select_for_update(of=("self",))
        .select_related("sale")
        .get(pk=item_id)
    )


def _move(item: FlashSaleItem, state: str, note: str) -> None:
    if item.state != state:
        sync.move_item(item, state, note=note)


def _check_rebuilt(item: FlashSaleItem, s: Snapshot, claims: int) -> None:
    """Raise NotLoaded unless Redis now says what PostgreSQL says."""
    here = sync.counters_of(item)
    there = Counters(**{name: getattr(s, name) for name in COUNTERS})
    if there != here or s.seq != item.last_seq or s.claims != claims:
        raise NotLoaded(f"item {item.pk} was rebuilt as {there}, not {here}")


def _resume_state(item: FlashSaleItem) -> str:
    """Where a sound item goes; one that the audit has paused waits for the audit."""
    states = [ItemState.LOADED, ItemState.PAUSED]
    moves = SaleTransition.objects.filter(item=item, to_state__in=states)
    last = moves.order_by("-pk").values_list("to_state", flat=True).first()
    return last or ItemState.LOADED
