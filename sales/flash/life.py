"""The steps of a sale that somebody, or the clock, takes: schedule to settled."""

import logging
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from sales import floors, sync
from sales.counters import NotLoaded, Unsure
from sales.flash import settling, states, telling
from sales.flash.states import RUNNING, UNLOADED
from sales.invariants import LET_GO_ON
from sales.models import FlashSale, FlashSaleItem, ItemState, SaleState
from sales.orders import NotPossible

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)


@transaction.atomic
def schedule(sale_id: int, *, actor: "User | None" = None) -> FlashSale:
    """Draft -> scheduled: from now on the preload command will load it in time."""
    sale = states.locked(sale_id)
    if sale.state == SaleState.SCHEDULED:
        return sale
    states.require(sale, SaleState.DRAFT, _("Only a draft can be scheduled."))
    if sale.closes_at <= timezone.now():
        raise NotPossible(_("This sale would be over already; choose later times."))
    if not sale.items.exists():
        raise NotPossible(_("Add at least one product before scheduling the sale."))
    sale.items.update(opens_at=sale.opens_at, closes_at=sale.closes_at)
    states.move(sale, SaleState.SCHEDULED, actor)
    return sale


def pause(sale_id: int, *, actor: "User | None" = None) -> FlashSale:
    """Loaded or live -> paused: nobody is admitted; payments go on. Redis first."""
    return _hold(sale_id, SaleState.PAUSED, "paused", (*RUNNING,), actor)


def can_resume(sale: FlashSale) -> bool:
    """Whether the sale is paused, or runs and the audit has paused a product of it."""
    if sale.state == SaleState.PAUSED:
        return True
    paused = sale.items.filter(state=ItemState.PAUSED)
    return sale.state in RUNNING and paused.exists()


@transaction.atomic
def resume(sale_id: int, *, actor: "User | None" = None) -> FlashSale:
    """Paused -> live (or loaded, before it opens). PostgreSQL first.

    Products that the audit has paused go on, too, also in a sale that runs: somebody
    has looked. They are not paused for the same finding again.
    """
    sale = states.locked(sale_id)
    if sale.state not in RUNNING:
        raise NotPossible(
            _("Only a paused sale can be resumed. (%(sale)s: %(state)s)")
            % {"sale": sale.name, "state": sale.get_state_display()}
        )
    for item in sale.items.select_for_update().filter(state=ItemState.PAUSED):
        sync.move_item(item, ItemState.LOADED, actor=actor, note=LET_GO_ON)
    if sale.state == SaleState.PAUSED:
        opened = sale.opens_at <= timezone.now()
        states.move(sale, SaleState.LIVE if opened else SaleState.LOADED, actor)
    transaction.on_commit(lambda: telling.reconcile(sale_id))
    return sale


def end(sale_id: int, *, actor: "User | None" = None) -> FlashSale:
    """Loaded, live or paused -> ended, before its time; open holds may be paid."""
    return _hold(sale_id, SaleState.ENDED, "ended", (*RUNNING, SaleState.ENDED), actor)


def cancel(sale_id: int, *, actor: "User | None" = None) -> FlashSale:
    """Draft, scheduled or loaded -> cancelled; loaded units go back to the shop."""
    with transaction.atomic():
        sale = states.locked(sale_id)
        if sale.state == SaleState.CANCELLED:
            return sale
        early = (SaleState.DRAFT, SaleState.SCHEDULED, SaleState.LOADED)
        if sale.state not in early or (
            sale.state == SaleState.LOADED and sale.opens_at <= timezone.now()
        ):
            raise NotPossible(_("A sale that has opened can be ended, not cancelled."))
        for item in states.loaded(sale):
            telling.tell(item, state="ended")
        waiting = sale.items.select_for_update().filter(state=ItemState.WAITING)
        for item in waiting:
            sync.move_item(item, ItemState.SETTLED, actor=actor)
        states.move(sale, SaleState.CANCELLED, actor)
    try:
        settling.settle(sale_id)
    except (NotLoaded, Unsure) as error:
        logger.warning("flash sale %s is settled later: %s", sale_id, error)
    return sale


def advance(now: datetime | None = None) -> list[str]:
    """Let states follow the clock: live, ended, settled; return what changed.

    Also sends what Redis has not heard, and removes keys of settled items. Each sale on
    its own: a failure of one is logged and leaves the others alone.
    """
    now = now or timezone.now()
    said: list[str] = []
    sales = FlashSale.objects.filter(
        Q(state__in=[*RUNNING, SaleState.ENDED])
        | Q(state=SaleState.CANCELLED, items__has_keys=True)
    )
    for sale_id in list(sales.order_by("pk").distinct().values_list("pk", flat=True)):
        try:
            said += _advance(sale_id, now)
        except (NotLoaded, Unsure) as error:
            logger.warning("flash sale %s waits: %s", sale_id, error)
        except Exception:
            logger.exception("flash sale %s cannot go on", sale_id)
    settling.delete_old_keys()
    missed = FlashSale.objects.filter(state=SaleState.SCHEDULED, closes_at__lte=now)
    for sale_id in list(missed.values_list("pk", flat=True)):
        sale = cancel(sale_id)
        said.append(f"{sale.name} is cancelled: it was never preloaded")
    return said


@transaction.atomic
def _hold(
    sale_id: int,
    state: SaleState,
    word: str,
    allowed: Collection[str],
    actor: "User | None",
) -> FlashSale:
    """Close a sale in Redis first, then in PostgreSQL, under its row lock."""
    sale = states.locked(sale_id)
    if sale.state == state:
        return sale
    if sale.state not in allowed:
        raise NotPossible(
            _("A sale that is %(state)s cannot be %(word)s.")
            % {"state": sale.get_state_display().lower(), "word": word}
        )
    for item in states.loaded(sale):
        telling.tell(item, state=word)
    states.move(sale, state, actor)
    return sale


def _advance(sale_id: int, now: datetime) -> list[str]:
    said = []
    with transaction.atomic():
        sale = states.locked(sale_id)
        if sale.state == SaleState.LOADED and sale.opens_at <= now:
            states.move(sale, SaleState.LIVE, None)
            said.append(f"{sale.name} is live")
        if sale.state in RUNNING and sale.closes_at <= now:
            states.move(sale, SaleState.ENDED, None)
            said.append(f"{sale.name} has ended")
        # Under the row lock, so that a pause or resume cannot come in between.
        telling.reconcile_all(sale_id)
    _heal(sale_id)
    is_over = sale.state in (SaleState.ENDED, SaleState.CANCELLED)
    if is_over and settling.settle(sale_id):
        said.append(f"{sale.name} is settled")
    return said


def _heal(sale_id: int) -> None:
    """Make good what a crash kept from Redis: floors that follow the stock."""
    items = FlashSaleItem.objects.filter(sale_id=sale_id).exclude(state__in=UNLOADED)
    if products := list(items.values_list("product_id", flat=True)):
        floors.settle(products)
