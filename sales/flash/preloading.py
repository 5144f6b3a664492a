"""From a scheduled sale to counters in Redis: set units aside, then create them.

PostgreSQL commits first; a crash in between leaves units unsold until the next preload.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog import stock
from catalog.models import Stock
from sales import counters, floors, sync
from sales.counters import NotLoaded, Snapshot, Unsure
from sales.flash import states, telling
from sales.flash.states import RUNNING
from sales.models import (
    FlashSale,
    FlashSaleItem,
    ItemState,
    SaleState,
    WaitingEntry,
)
from sales.orders import NotPossible

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Preloaded:
    """What a preload did with one item; `error` says why it could not."""

    item_id: int
    sku: str
    units: int
    floor: int
    was_there: bool = False
    error: str = ""


def preload(sale_id: int, *, actor: "User | None" = None) -> list[Preloaded]:
    """Allocate the items' units in PostgreSQL, then put them into Redis.

    Safe twice, at once, and while the sale is live: items that are loaded stay as they
    are. An item that cannot be loaded is reported in its `error`; the others go on.
    The caller opens the fence afterwards (`recovery.open_fence`).
    """
    sale = FlashSale.objects.get(pk=sale_id)
    if sale.state not in (SaleState.SCHEDULED, *RUNNING):
        raise NotPossible(
            _("Only a scheduled sale can be preloaded; this one is %(state)s.")
            % {"state": sale.get_state_display()}
        )
    outcomes = []
    for item_id in sale.items.order_by("product_id").values_list("pk", flat=True):
        outcomes.append(_preload_item(item_id))
    with transaction.atomic():
        sale = states.locked(sale_id)
        done = any(not outcome.error for outcome in outcomes)
        if sale.state == SaleState.SCHEDULED and done:
            states.move(sale, SaleState.LOADED, actor)
        telling.reconcile_all(sale_id)  # loaded items are paused until here
    return outcomes


def preload_due(
    now: datetime | None = None, *, actor: "User | None" = None
) -> list[Preloaded]:
    """Preload every sale that opens within the lead time, and loaded ones again."""
    soon = (now or timezone.now()) + timedelta(
        seconds=settings.SHOP_PRELOAD_LEAD_SECONDS
    )
    due = FlashSale.objects.filter(
        state__in=[SaleState.SCHEDULED, SaleState.LOADED, SaleState.LIVE],
        opens_at__lte=soon,
        closes_at__gt=now or timezone.now(),
    )
    outcomes: list[Preloaded] = []
    for sale_id in due.order_by("opens_at", "pk").values_list("pk", flat=True):
        outcomes += preload(sale_id, actor=actor)
    return outcomes


def _preload_item(item_id: int) -> Preloaded:
    try:
        item, was_there = _allocate(item_id)
    except NotPossible as error:
        item = FlashSaleItem.objects.select_related("product").get(pk=item_id)
        return Preloaded(item_id, item.product.sku, 0, 0, error=str(error))
    except stock.InsufficientStock as error:
        item = FlashSaleItem.objects.select_related("product").get(pk=item_id)
        available = error.shortages[0].sellable
        return Preloaded(
            item_id,
            item.product.sku,
            0,
            0,
            error=_("%(wanted)s units asked, %(available)s available")
            % {"wanted": item.requested_units or 1, "available": available},
        )
    sku = item.product.sku
    if item.state == ItemState.SETTLED:
        return Preloaded(item_id, sku, 0, item.floor, error=_("settled already"))
    if not item.loaded_at:
        try:
            was_there = _load(item_id) and was_there
        except (NotLoaded, Unsure, counters.StepRefused) as error:
            return Preloaded(
                item_id,
                sku,
                item.units,
                item.floor,
                error=_("Redis: %(error)s") % {"error": error},
            )
    return Preloaded(item_id, sku, item.units, item.floor, was_there)


@transaction.atomic
def _allocate(item_id: int) -> tuple[FlashSaleItem, bool]:
    """Set the units aside and fix the first counters; only once per item.

    Raises NotPossible when the sale has ended or was cancelled meanwhile.
    """
    sale_id = FlashSaleItem.objects.values_list("sale_id", flat=True).get(pk=item_id)
    sale = states.locked(sale_id)
    item = (
        FlashSaleItem.objects.select_for_update(of=("self",))
        .select_related("product", "sale")
        .get(pk=item_id)
    )
    if item.state != ItemState.WAITING:
        return item, True
    if sale.state not in (SaleState.SCHEDULED, *RUNNING):
        raise NotPossible(_("The sale is over."))
    row = stock.lock([item.product_id])[item.product_id]
    units = item.requested_units or max(1, row.available)
    note = stock.Note(cause=f"flash:{item.pk}", reason=item.sale.name)
    stock.allocate(item.product_id, units, note=note)
    item.units = item.left = units
    item.floor = floors.floor_of(Stock.objects.get(pk=row.pk))
    item.epoch += 1
    item.has_keys = True
    item.save()
    sync.move_item(item, ItemState.LOADED)
    return item, False


@transaction.atomic
def _load(item_id: int) -> bool:
    """Create the counters in Redis, once; return whether they were there.

    They are paused until this has committed: whoever finds `loaded_at` empty knows that
    nobody has bought yet, and that nothing of this item can be lost in Redis.
    """
    item = FlashSaleItem.objects.select_for_update().get(pk=item_id)
    if item.loaded_at or item.state != ItemState.LOADED:
        return True
    step = counters.preload(item.pk, first_counters(item, state="paused"))
    item.loaded_at = timezone.now()
    item.save(update_fields=["loaded_at"])
    logger.info("flash item %s: %s units preloaded", item.pk, item.units)
    return step.repeated


def first_counters(item: FlashSaleItem, *, state: str) -> Snapshot:
    """The item's counters in Redis's terms, as PostgreSQL has them."""
    return Snapshot(
        epoch=item.epoch,
        state=state,
        units=item.units,
        left=item.left,
        floor=item.floor,
        limit=item.limit_per_buyer,
        opens_at=sync.milliseconds(item.opens_at),
        closes_at=sync.milliseconds(item.closes_at),
        hold_ms=hold_milliseconds(),
        seq=item.last_seq,
        held=item.held,
        paying=item.paying,
        paid=item.paid,
        released=item.released,
        waiting=WaitingEntry.objects.filter(item=item).wanted().get(item.pk, 0),
    )


def hold_milliseconds() -> int:
    """How long a claim holds its units before it must be paid."""
    return settings.SHOP_FLASH_HOLD_SECONDS * 1000
