"""The tick of all lines: what has ended, what can be offered, what is kept."""

import logging
from datetime import datetime

from django.db.models import Exists, OuterRef, Q

from sales import counters, sync
from sales.counters import NotLoaded, Unsure
from sales.models import EntryState, Order, OrderState, SaleState, WaitingEntry
from sales.waiting_list import keeping, offering

logger = logging.getLogger(__name__)

OVER = (SaleState.ENDED, SaleState.SETTLED, SaleState.CANCELLED)
BOUGHT = (OrderState.PAID, OrderState.REFUNDED)
LAPSED = (OrderState.EXPIRED, OrderState.CANCELLED)


def serve(now: datetime) -> int:
    """Bring all lines up to date; return how many offers were made.

    Safe to run at any time and twice at once. While nobody waits it only looks, in
    three queries and one trip to Redis, whether anything is kept that nobody wants.
    One item's failure leaves the others alone.
    """
    wanted: dict[int, int] = {}
    if WaitingEntry.objects.open().exists():
        follow(now)
        close_over(now)
        wanted = WaitingEntry.objects.wanted()
    offering.take_back(now)
    item_ids = sync.loaded_items()
    found = counters.snapshots(item_ids) if item_ids else {}
    made = 0
    for item_id, s in found.items():
        units = wanted.get(item_id, 0)
        if not units and not s.waiting:
            continue
        try:
            offers = offering.hand_out(item_id) if units else 0
            if offers or s.waiting != units:
                keeping.keep(item_id)
            made += offers
        except (NotLoaded, Unsure) as error:
            logger.warning("the line of item %s waits: %s", item_id, error)
        except Exception:
            logger.exception("the line of item %s is not served", item_id)
    return made


def follow(now: datetime) -> None:
    """End entries whose offer was bought or has lapsed, as their orders say."""
    offered = WaitingEntry.objects.filter(state=EntryState.OFFERED)
    for state, orders in ((EntryState.BOUGHT, BOUGHT), (EntryState.LAPSED, LAPSED)):
        order = Order.objects.filter(
            flash_item=OuterRef("item"), claim_id=OuterRef("order_id"), state__in=orders
        )
        offered.filter(Exists(order)).update(state=state, email="", ended_at=now)


def close_over(now: datetime) -> int:
    """Close the lines of sales that are over; return how many waited in vain.

    They are marked to be told. Who holds the claim of an offer already is not closed,
    but told of that, by the next `hand_out`.
    """
    is_over = Q(item__closes_at__lte=now) | Q(item__sale__state__in=OVER)
    over = WaitingEntry.objects.in_line().filter(is_over).values_list("item", flat=True)
    item_ids = list(over.order_by().distinct())
    if not item_ids:
        return 0
    offer = Order.objects.filter(
        flash_item=OuterRef("item"),
        claim_id=OuterRef("order_id"),
        buyer=OuterRef("buyer"),
        state__in=(OrderState.HELD, OrderState.PAYING),
    )
    closed = WaitingEntry.objects.in_line().filter(~Exists(offer), item__in=item_ids)
    return closed.order_by().update(
        state=EntryState.CLOSED, reason="ended", ended_at=now, next_try_at=now
    )
