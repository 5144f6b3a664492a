"""Changes of a running flash sale: units, price, limit per buyer, closing time.

Each is one script call, effective at once for the next claim. Units and prices go with
an id, so that Redis makes them once however often they are sent; limit and closing time
are PostgreSQL's to say, and every tick says them again.
"""

import logging
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog import stock
from sales import counters, flash, floors, sync
from sales.models import FlashAdjustment, FlashSaleItem, ItemState, SaleState
from sales.orders import NotPossible

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)


def change_units(
    item_id: int, delta: int, *, actor: "User | None" = None, reason: str = ""
) -> None:
    """Add units to a running item, or take unclaimed ones back; effective at once.

    Added units are allocated in PostgreSQL first; units taken back leave the counter
    first and reach the shop with the drain. A crash in between is made good by the
    next tick. Raises InsufficientStock, or NotPossible with a sentence.
    """
    if not 0 < abs(delta) <= settings.SHOP_MAX_QUANTITY:
        raise NotPossible(_("Say how many units to add or to take back."))
    with transaction.atomic():
        item = _running_item(item_id)
        if delta > 0:
            note = stock.Note(cause=f"flash:{item_id}", reason=reason, actor=actor)
            stock.allocate(item.product_id, delta, note=note)
        adjustment = FlashAdjustment.objects.create(
            item=item, units_delta=delta, reason=reason, actor=actor
        )
    _send(adjustment)


def change_price(
    item_id: int, price: Decimal, *, actor: "User | None" = None, reason: str = ""
) -> None:
    """Change the price for new claims: those whose number is above the change's own."""
    if not 0 <= price <= settings.SHOP_MAX_PRICE:
        raise NotPossible(_("This is not a possible price."))
    with transaction.atomic():
        item = _running_item(item_id)
        adjustment = FlashAdjustment.objects.create(
            item=item, price=price, reason=reason, actor=actor
        )
    _send(adjustment)


def change_limit(item_id: int, limit: int, *, actor: "User | None" = None) -> None:
    """Change how many units one buyer may have of a running item, in the whole sale."""
    if not 1 <= limit <= settings.SHOP_MAX_QUANTITY:
        raise NotPossible(_("The limit per buyer must be at least 1."))
    with transaction.atomic():
        item = _running_item(item_id)
        note = f"limit per buyer {item.limit_per_buyer} to {limit}"
        flash.log(item.sale, actor, note=note, item=item)
        item.limit_per_buyer = limit
        item.save(update_fields=["limit_per_buyer"])
        flash.tell(item, limit=limit)


def change_closing(
    sale_id: int, closes_at: datetime, *, actor: "User | None" = None
) -> None:
    """Close a running sale earlier or later; a past time ends it at the next tick."""
    with transaction.atomic():
        sale = flash.locked(sale_id)
        if sale.state not in (*flash.RUNNING, SaleState.SCHEDULED):
            raise NotPossible(_("Only a sale that is not over can close otherwise."))
        if closes_at <= sale.opens_at:
            raise NotPossible(_("A sale must close after it opens."))
        flash.log(sale, actor, note=f"closes at {closes_at:%Y-%m-%d %H:%M:%S} UTC")
        sale.closes_at = closes_at
        sale.save(update_fields=["closes_at"])
        items = sale.items.exclude(state=ItemState.SETTLED)
        try:
            with transaction.atomic():
                items.update(closes_at=closes_at)
        except IntegrityError as error:
            raise NotPossible(
                _("Another sale of one of these products begins before that.")
            ) from error
        for item in flash.loaded(sale):
            flash.tell(item, closes_at=sync.milliseconds(closes_at))


def send_waiting() -> None:
    """Send what Redis may not have heard of, after a crash; safe to repeat.

    One that fails is logged and does not stop the others.
    """
    waiting = FlashAdjustment.objects.filter(
        applied_seq=None,
        refused_at=None,
        item__state__in=[ItemState.LOADED, ItemState.PAUSED],
    )
    for adjustment in waiting.select_related("item").order_by("created_at"):
        try:
            _send(adjustment)
        except (NotPossible, counters.NotLoaded, counters.Unsure) as error:
            logger.warning("adjustment %s: %s", adjustment.pk, error)


def _send(adjustment: FlashAdjustment) -> None:
    """Let Redis make one change, once, with the floor that goes with it."""
    item = adjustment.item
    with transaction.atomic():
        row = stock.lock([item.product_id])[item.product_id]
        try:
            counters.adjust(
                item.pk,
                epoch=item.epoch,
                ref=str(adjustment.pk),
                units=adjustment.units_delta,
                floor=floors.floor_of(row),
            )
        except counters.StepRefused as error:
            refused = FlashAdjustment.objects.filter(pk=adjustment.pk)
            refused.update(refused_at=timezone.now())
            sentence = _("Only %(left)s units are unclaimed.") % {"left": error.detail}
        else:
            return
    raise NotPossible(sentence)


def _running_item(item_id: int) -> FlashSaleItem:
    """The item, locked, if its sale runs. Raises NotPossible otherwise."""
    item = (
        FlashSaleItem.objects.select_for_update(of=("self",))
        .select_related("sale")
        .get(pk=item_id)
    )
    if item.state not in (ItemState.LOADED, ItemState.PAUSED) or (
        item.sale.state not in flash.RUNNING
    ):
        raise NotPossible(_("Only an item of a loaded sale can be changed this way."))
    return item
