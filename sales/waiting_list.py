"""The waiting list of a flash item: join, leave, offers to the first in line, its end.

An offer is a claim that is made for the first in line, under the order id their entry
was given on joining. So every step is safe to repeat: the claim by its order id, the
rest by what PostgreSQL has recorded. Who gets what is decided in the order of joining;
meanwhile the counters keep from everybody else what the line wants.

That number is set under a lock that lets the setters of one item take turns, and it is
counted from the rows. It rises before a join commits and falls after an entry has left,
so Redis is never more open than PostgreSQL, and every tick sets it again.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, Sum
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from sales import counters, flash, mails, sync
from sales.counters import Admitted, Claim, ClaimRefused, NotLoaded, Snapshot, Unsure
from sales.models import (
    EntryState,
    FlashSaleItem,
    MailKind,
    Order,
    OrderLine,
    OrderState,
    SaleState,
    WaitingEntry,
)
from sales.orders import NotPossible

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

BATCH = 100  # entries served in one go
OVER = (SaleState.ENDED, SaleState.SETTLED, SaleState.CANCELLED)
OWNED = (OrderState.HELD, OrderState.PAYING, OrderState.PAID)
BOUGHT = (OrderState.PAID, OrderState.REFUNDED)
LAPSED = (OrderState.EXPIRED, OrderState.CANCELLED)
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


# -- Joining and leaving ----------------------------------------------------------


@transaction.atomic
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
    _take_turns(item_id)
    entries = WaitingEntry.objects.filter(item=item)
    if known := entries.open().filter(buyer=buyer).first():
        return Joined(known, is_new=False)
    _refuse(item, buyer, quantity)
    if entries.open().filter(email__iexact=email).exists():
        raise JoinRefused("email_waits")
    entry = WaitingEntry.objects.create(
        item=item,
        buyer=buyer,
        user=user,
        email=email,
        language=get_language() or "",
        quantity=quantity,
    )
    _keep(item)
    logger.info("entry %s waits for item %s", entry.order_id, item_id)
    return Joined(entry, is_new=True)


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
        _release(entry)
        keep(entry.item_id)
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


# -- Ticks ------------------------------------------------------------------------


def serve(now: datetime) -> int:
    """Bring all lines up to date; return how many offers were made.

    Safe to run at any time and twice at once. While nobody waits it only looks, in two
    queries and one trip to Redis, whether anything is kept that nobody wants any more.
    One item's failure leaves the others alone.
    """
    wanted: dict[int, int] = {}
    if WaitingEntry.objects.open().exists():
        follow(now)
        close_over(now)
        wanted = WaitingEntry.objects.wanted()
    item_ids = sync.loaded_items()
    found = counters.snapshots(item_ids) if item_ids else {}
    made = 0
    for item_id, s in found.items():
        units = wanted.get(item_id, 0)
        if not units and not s.waiting:
            continue
        try:
            offers = hand_out(item_id) if units else 0
            if offers or s.waiting != units:
                keep(item_id)
            made += offers
        except (NotLoaded, Unsure) as error:
            logger.warning("the line of item %s waits: %s", item_id, error)
        except Exception:
            logger.exception("the line of item %s is not served", item_id)
    return made


def hand_out(item_id: int, *, limit: int = BATCH) -> int:
    """Offer what is free to the first in line; return how many were told of an offer.

    Claimed in Redis first, then drained, then the entry is marked and its mail lined up
    in one transaction. What a crash left in between is found by the next call. Whoever
    wants more units than are free is offered those. Raises NotLoaded or Unsure.
    """
    item = FlashSaleItem.objects.get(pk=item_id)
    entries = list(WaitingEntry.objects.in_line().filter(item=item)[:limit])
    made = _record(entries)
    s = counters.snapshot(item_id)
    if not s.free or not _admits(s):
        return made
    entries = [entry for entry in entries if entry.is_waiting]
    claims = _shares(entries, s.free)
    if not claims:
        return made
    answers = counters.claim_many(
        item_id, epoch=item.epoch, claims=claims, offer_ms=offer_milliseconds()
    )
    asked = entries[: len(claims)]
    for entry, answer in zip(asked, answers, strict=True):
        _hear(entry, answer)
    sync.drain(item_id, budget=timedelta(seconds=1))
    return made + _record(asked)


def follow(now: datetime) -> None:
    """End entries whose offer was bought or has lapsed, as their orders say."""
    offered = WaitingEntry.objects.filter(state=EntryState.OFFERED)
    for state, orders in ((EntryState.BOUGHT, BOUGHT), (EntryState.LAPSED, LAPSED)):
        order = Order.objects.filter(
            flash_item=OuterRef("item"), claim_id=OuterRef("order_id"), state__in=orders
        )
        offered.filter(Exists(order)).update(state=state, email="", ended_at=now)


def close_over(now: datetime) -> int:
    """Close the lines of sales that are over; return how many waited in vain."""
    is_over = Q(item__closes_at__lte=now) | Q(item__sale__state__in=OVER)
    over = WaitingEntry.objects.in_line().filter(is_over).values_list("item", flat=True)
    item_ids = list(over.order_by().distinct())
    if not item_ids:
        return 0
    closed = WaitingEntry.objects.in_line().filter(item__in=item_ids)
    return closed.order_by().update(
        state=EntryState.CLOSED, reason="ended", email="", ended_at=now
    )


@transaction.atomic
def keep(item_id: int) -> None:
    """Have the counters keep exactly what the line wants now. Safe to repeat.

    Raises NotLoaded or Unsure when Redis cannot be told.
    """
    _take_turns(item_id)
    item = FlashSaleItem.objects.get(pk=item_id)
    if item.is_loaded:
        _keep(item)


def offer_milliseconds() -> int:
    """How long an offer holds its units before it goes to the next in line."""
    return settings.SHOP_OFFER_SECONDS * 1000


# -- Inside -----------------------------------------------------------------------


def _take_turns(item_id: int) -> None:
    """Wait for whoever changes or counts the line of this item; until the commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"waiting-list:{item_id}"],
        )


def _keep(item: FlashSaleItem) -> None:
    units = WaitingEntry.objects.filter(item=item).wanted().get(item.pk, 0)
    counters.keep_for_line(item.pk, epoch=item.epoch, units=units)


def _refuse(item: FlashSaleItem, buyer: str, quantity: int) -> None:
    """Raise JoinRefused unless the item is full and the buyer may have that many."""
    now = timezone.now()
    if item.sale.state in OVER or item.closes_at <= now:
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


def _admits(s: Snapshot) -> bool:
    return s.state in ("open", "room") and s.opens_at <= s.now < s.closes_at


def _shares(entries: Sequence[WaitingEntry], free: int) -> list[Claim]:
    """What the first in line get: all they want, and the last of them the rest."""
    claims = []
    for entry in entries:
        if not free:
            break
        units = min(entry.quantity, free)
        claims.append(Claim(entry.order_id, entry.buyer, units))
        free -= units
    return claims


def _hear(entry: WaitingEntry, answer: Admitted | ClaimRefused | NotLoaded) -> None:
    """Do what a refused offer asks for; most refusals are left to the next tick."""
    if isinstance(answer, NotLoaded):
        raise answer
    if isinstance(answer, Admitted):
        return
    if answer.code == "limit_reached" and answer.detail:
        WaitingEntry.objects.in_line().filter(pk=entry.pk).update(
            quantity=answer.detail
        )
    elif answer.code == "limit_reached" or _is_taken(entry, answer):
        _close(entry, "limit" if answer.code == "limit_reached" else "conflict")


def _is_taken(entry: WaitingEntry, refusal: ClaimRefused) -> bool:
    """Whether somebody else uses the order id of an entry."""
    if refusal.code != "conflict":
        return False
    stored = counters.find(entry.item_id, entry.order_id)
    return stored is not None and stored.buyer != entry.buyer


@transaction.atomic
def _close(entry: WaitingEntry, reason: str) -> None:
    locked = WaitingEntry.objects.in_line().select_for_update().filter(pk=entry.pk)
    for row in locked:
        row.end(EntryState.CLOSED, now=timezone.now(), reason=reason)
        logger.info("entry %s is closed: %s", row.order_id, reason)


def _record(entries: Sequence[WaitingEntry]) -> int:
    """Tell those of the entries whose claim is an order now; return how many.

    Their rows are locked and looked at again, so that each is told once. A claim of
    somebody who has left meanwhile is given back.
    """
    if not entries:
        return 0
    rows = Order.objects.filter(
        flash_item=entries[0].item_id, claim_id__in=[e.order_id for e in entries]
    )
    orders = {(order.claim_id, order.buyer): order for order in rows}
    made = 0
    for entry in entries:
        order = orders.get((entry.order_id, entry.buyer))
        if order is not None:
            made += _recorded(entry, order)
    return made


def _recorded(entry: WaitingEntry, order: Order) -> bool:
    """Whether the entry's shopper was told; a bad row does not stop those behind it."""
    try:
        is_told = _offer(entry, order)
        if not is_told:
            _release(entry)
    except (NotLoaded, Unsure):
        raise
    except Exception:
        logger.exception("entry %s cannot be told of its offer", entry.order_id)
        return False
    return is_told


@transaction.atomic
def _offer(entry: WaitingEntry, order: Order) -> bool:
    """Mark the entry, and have its shopper told; False if it waits no longer."""
    locked = WaitingEntry.objects.select_for_update().get(pk=entry.pk)
    entry.state = locked.state
    if not locked.is_waiting:
        return False
    order.email, order.language = locked.email, locked.language
    order.user_id = order.user_id or locked.user_id
    # Unless the shopper has said meanwhile who receives it.
    Order.objects.filter(pk=order.pk, address="").update(
        email=order.email, language=order.language, user=order.user_id
    )
    if order.state == OrderState.HELD:
        mails.line_up(MailKind.OFFER, [order])
    locked.state = entry.state = EntryState.OFFERED
    locked.offered_at = timezone.now()
    locked.save(update_fields=["state", "offered_at"])
    logger.info("entry %s has an offer", entry.order_id)
    return True


def _release(entry: WaitingEntry) -> None:
    """Give back the claim of somebody who has left, if there is one.

    Raises NotLoaded or Unsure; the hold ends by itself then.
    """
    item = FlashSaleItem.objects.get(pk=entry.item_id)
    if entry.state != EntryState.LEFT or not item.is_loaded:
        return
    stored = counters.find(item.pk, entry.order_id)
    if stored is None or stored.buyer != entry.buyer:
        return
    with suppress(counters.StepRefused):
        counters.release(
            item.pk, epoch=item.epoch, order_id=entry.order_id, reason="cancelled"
        )
