"""After the end: what is left goes back to the shop, once, and the keys go.

Redis stops before PostgreSQL gives back; a crash in between leaves units unsold.
"""

import logging

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog import outbox, stock
from sales import counters, invariants, sync
from sales.counters import NotLoaded, Unsure
from sales.flash import states
from sales.flash.states import UNLOADED
from sales.models import FlashSale, FlashSaleItem, ItemState, SaleState
from sales.orders import NotPossible

logger = logging.getLogger(__name__)


def settle(sale_id: int) -> bool:
    """Give what is left of an ended sale back, once; return whether it is settled.

    Waits (returns False) while holds or payments are open. The counters are frozen
    while the last look is taken, so nothing can move between the look and the return.
    """
    sale = FlashSale.objects.get(pk=sale_id)
    if sale.state not in (SaleState.ENDED, SaleState.CANCELLED, SaleState.SETTLED):
        raise NotPossible(_("Only an ended sale can be settled."))
    settled = [
        _settle_item(item_id)
        for item_id in sale.items.order_by("pk").values_list("pk", flat=True)
    ]
    if not all(settled):
        return False
    with transaction.atomic():
        sale = states.locked(sale_id)
        for item in sale.items.select_for_update().filter(state=ItemState.WAITING):
            sync.move_item(item, ItemState.SETTLED, note="it was never loaded")
        if sale.state == SaleState.ENDED:
            states.move(sale, SaleState.SETTLED, None)
            told = {"flash_sale_id": sale.pk, "sale": sale.slug, "name": sale.name}
            outbox.publish("sale.settled", [told])
    return True


def _settle_item(item_id: int) -> bool:
    item = FlashSaleItem.objects.get(pk=item_id)
    if item.state in UNLOADED:
        return True
    if item.state != ItemState.LOADED:  # in doubt
        return False
    sync.drain(item_id)
    try:
        is_settled = _give_back(item_id)
    except sync.Gap as doubt:
        sync.freeze(item_id, str(doubt))
        return False
    if is_settled:
        _delete_keys(item_id)
    return is_settled


@transaction.atomic
def _give_back(item_id: int) -> bool:
    """Return what an item has left to the shop; False while something is open.

    One at a time under the row lock, which recovery and the drain take as well. The
    last look is at frozen counters, so nothing can move between it and the return. An
    item with a violated invariant waits for somebody to put it right.
    """
    item = FlashSaleItem.objects.select_for_update().get(pk=item_id)
    if item.state == ItemState.SETTLED:
        return True
    if item.state != ItemState.LOADED:
        return False
    _close(item, "ended")  # also thaws what a crash below left frozen
    s = counters.snapshot(item_id)
    if s.held or s.paying:
        return False
    _close(item, "frozen")
    while sync.drain_locked(item):
        pass
    s = counters.snapshot(item_id)
    in_redis = (s.seq, s.left, s.held, s.paying)
    if s.state != "frozen" or in_redis != (item.last_seq, item.left, 0, 0):
        _close(item, "ended")
        return False
    if doubt := invariants.doubt(item):
        sync.move_item(item, ItemState.PAUSED, note=doubt)
        _close(item, "ended")
        return False
    # Units that were added and never reached Redis were set aside as well.
    unsent = item.adjustments.filter(applied_seq=None, refused_at=None)
    added = unsent.filter(units_delta__gt=0).aggregate(sum=Sum("units_delta"))["sum"]
    if left_over := item.left + (added or 0):
        note = stock.Note(cause=f"flash:{item.pk}", reason="left over")
        stock.deallocate(item.product_id, left_over, note=note)
    unsent.update(refused_at=timezone.now())
    item.settled_at = timezone.now()
    item.save(update_fields=["settled_at"])
    sync.move_item(item, ItemState.SETTLED)
    return True


def _close(item: FlashSaleItem, state: str) -> None:
    counters.adjust(item.pk, epoch=item.epoch, verified=item.epoch, state=state)


def delete_old_keys() -> None:
    """Remove keys that a crash after settlement left behind."""
    old = FlashSaleItem.objects.filter(state=ItemState.SETTLED, has_keys=True)
    for item_id in list(old.values_list("pk", flat=True)):
        try:
            _delete_keys(item_id)
        except (NotLoaded, Unsure) as error:
            logger.warning("flash item %s still has keys: %s", item_id, error)


def _delete_keys(item_id: int) -> None:
    counters.delete(item_id)
    counters.drop_journal(item_id)
    FlashSaleItem.objects.filter(pk=item_id).update(has_keys=False)
