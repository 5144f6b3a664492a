"""Places in line: taken, looked up, given up."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet, Sum, Value
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from sales import flash
from sales.counters import NotLoaded, Unsure
from sales.models import (
    EntryState,
    FlashSaleItem,
    OrderLine,
    OrderState,
    SaleState,
    WaitingEntry,
)
from sales.orders import NotPossible
from sales.waiting_list import keeping

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

OVER = (SaleState.ENDED, SaleState.SETTLED, SaleState.CANCELLED)
OWNED = (OrderState.HELD, OrderState.PAYING, OrderState.PAID)
FULL = ("sold_out", "all_held")  # states of an item that make people wait


class JoinRefused(Exception):
    """Nobody may join now; `code` is the stable word for why.

    available (`detail`: units that can be had now), not_started, ended, paused,
    limit_reached (`detail`: units still allowed), email_waits.
    """

    def __init__(self, code: str, detail: int = 0) -> None:
        self.code = code
        self.detail = detail
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class Joined:
    """An entry, and whether it is new or was there already."""

    entry: WaitingEntry
    is_new: bool


def join(
    item_id: int,
    *,
    buyer: str,
    quantity: int,
    email: str,
    user: "User | None" = None,
) -> Joined:
    """Put a buyer at the end of an item's line; who stands in it keeps their place.

    Joins of one item take turns, so the order of the keys is the order of the line.
    Raises JoinRefused, FlashSaleItem.DoesNotExist, NotLoaded, or Unsure; then nobody
    has joined.
    """
    item = FlashSaleItem.objects.select_related("sale").get(pk=item_id)
    open_entries = WaitingEntry.objects.open().filter(item=item)
    if known := open_entries.filter(buyer=buyer).first():
        return Joined(known, is_new=False)
    _refuse(item, buyer, quantity)
    with transaction.atomic():  # short: everybody who joins waits for it
        keeping.take_turns(item_id)
        if known := _standing(open_entries, buyer, email):
            return Joined(known, is_new=False)
        entry = WaitingEntry.objects.create(
            item=item,
            buyer=buyer,
            user=user,
            email=email,
            language=get_language() or "",
            quantity=quantity,
        )
        keeping.keep_for(item)
    logger.info("entry %s waits for item %s", entry.order_id, item_id)
    return Joined(entry, is_new=True)


def _standing(
    entries: QuerySet[WaitingEntry], buyer: str, email: str
) -> WaitingEntry | None:
    """The buyer's entry. Raises JoinRefused if another's has the address."""
    same = Q(buyer=buyer) | Q(low=Lower(Value(email)))
    found = entries.alias(low=Lower("email")).filter(same)
    own = next((entry for entry in found if entry.buyer == buyer), None)
    if own is None and found:
        raise JoinRefused("email_waits")
    return own


def leave(order_id: UUID) -> WaitingEntry:
    """Give up a place in line. Safe to repeat.

    Raises NotPossible once there is an offer, WaitingEntry.DoesNotExist.
    """
    with transaction.atomic():
        entry = WaitingEntry.objects.select_for_update().get(order_id=order_id)
        if entry.state == EntryState.OFFERED:
            raise NotPossible(_("You have an offer; cancel that order instead."))
        if entry.is_waiting:
            entry.end(EntryState.LEFT, now=timezone.now())
    try:
        keeping.release(entry)
        keeping.keep(entry.item_id)
    except (NotLoaded, Unsure) as error:
        logger.warning("entry %s has left; the next tick tells: %s", order_id, error)
    return entry


def find(order_id: UUID) -> WaitingEntry | None:
    """The entry whose offer has or will have that order id, with its sale."""
    entries = WaitingEntry.objects.select_related("item__sale", "item__product")
    return entries.filter(order_id=order_id).first()


def place_of(entry: WaitingEntry) -> int:
    """1 for the first in line; 0 for an entry that does not wait."""
    if not entry.is_waiting:
        return 0
    ahead = WaitingEntry.objects.in_line().filter(item=entry.item_id, pk__lt=entry.pk)
    return ahead.count() + 1


def is_over(item: FlashSaleItem, now: datetime) -> bool:
    """Whether the sale of an item has ended, by the clock or by the merchant."""
    return item.sale.state in OVER or item.closes_at <= now


def _refuse(item: FlashSaleItem, buyer: str, quantity: int) -> None:
    """Raise JoinRefused unless the item is full and the buyer may have that many."""
    now = timezone.now()
    if is_over(item, now):
        raise JoinRefused("ended")
    live = flash.live([item.pk]).get(item.pk)
    if live is None or live.state == "not_loaded":
        if item.opens_at > now:
            raise JoinRefused("not_started")
        raise NotLoaded(f"item {item.pk} has no counters")
    if live.state not in FULL:
        code = live.state if live.state in ("paused", "not_started", "ended") else ""
        raise JoinRefused(code or "available", live.sellable)
    allowed = max(0, live.limit - _owned(item, buyer))
    if quantity > allowed:
        raise JoinRefused("limit_reached", allowed)


def _owned(item: FlashSaleItem, buyer: str) -> int:
    """Units a buyer holds, pays or has paid, as far as PostgreSQL knows."""
    lines = OrderLine.objects.filter(
        order__flash_item=item, order__buyer=buyer, order__state__in=OWNED
    )
    return lines.aggregate(units=Sum("quantity"))["units"] or 0
