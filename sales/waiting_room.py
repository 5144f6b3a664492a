"""The waiting room of a flash sale: who may join, whose turn it is, and what they see.

The places are kept by `rooms`; who must wait is said by the sale's counters, so a room
that is shown a moment too long or too late lets nobody past it. Looking in costs no
query: what does not change is known for a few seconds.
"""

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from sales import flash, rooms
from sales.counters import NotLoaded, Unsure
from sales.flash import Live
from sales.models import FlashSale, SaleState
from sales.orders import NotPossible
from sales.rooms import Crowd, RoomAway

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

KNOWN_SECONDS = 5
OVER = (SaleState.ENDED, SaleState.SETTLED, SaleState.CANCELLED)
SELLING = ("open", "all_held", "sold_out")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a visitor stands in the waiting room of a sale, at one moment.

    `state` is "outside", "early" (joined before the start), "waiting" or "inside"; or
    "none" while everybody may buy, "closed" when it is sold out, "over" after the sale.
    """

    state: str
    now: datetime
    opens_at: datetime
    place: int | None = None
    until: datetime | None = None
    estimate: timedelta | None = None

    @property
    def is_inside(self) -> bool:
        """Whether a claim of the visitor would be let past the room now."""
        return self.state in ("inside", "none")

    @property
    def ahead(self) -> int | None:
        return self.place - 1 if self.place else None


@dataclass(frozen=True, slots=True)
class Room:
    """What the rows say of a sale with or without a waiting room."""

    sale_id: int
    has_room: bool
    is_over: bool
    opens_at: datetime
    closes_at: datetime
    item_ids: tuple[int, ...]


def join(room: Room, visitor: str) -> Place:
    """Take a place, or keep the one the visitor has. Raises RoomAway."""
    return _visit(room, visitor, joins=True)


def look(room: Room, visitor: str) -> Place:
    """The visitor's place now; looking in moves the room on. Raises RoomAway."""
    return _visit(room, visitor, joins=False)


def hand_over(sale_id: int, former: str, visitor: str) -> None:
    """Let a guest who has signed in keep the place; no reason to fail if it cannot."""
    try:
        rooms.hand_over(sale_id, former, visitor)
    except RoomAway as error:
        logger.warning("flash sale %s: a place stays with a guest: %s", sale_id, error)


def leave(room: Room, visitor: str) -> None:
    """Give the visitor's place to the next. Raises RoomAway."""
    rooms.leave(room.sale_id, visitor)


def crowd(sale_id: int) -> Crowd | None:
    """How many people a room holds; None while that is not known."""
    try:
        return rooms.crowd(sale_id)
    except RoomAway as error:
        logger.warning("flash sale %s: %s", sale_id, error)
        return None


def turn(sale_id: int, *, is_on: bool, actor: "User | None" = None) -> None:
    """Open a waiting room for a sale, or close it and let everybody in at once.

    Redis is closed before the change commits, and opened after it. Raises NotPossible
    when the sale is over.
    """
    with transaction.atomic():
        sale = flash.locked(sale_id)
        if sale.state in OVER:
            raise NotPossible(_("This sale is over."))
        if sale.has_waiting_room != is_on:
            sale.has_waiting_room = is_on
            sale.save(update_fields=["has_waiting_room"])
            flash.log(sale, actor, note=f"waiting room {'on' if is_on else 'off'}")
        if is_on:
            flash.reconcile(sale_id)
        else:
            transaction.on_commit(lambda: flash.reconcile(sale_id))
        transaction.on_commit(forget)


# -- What is known of a sale ------------------------------------------------------

_known: dict[int | str, tuple[Room, float]] = {}


def of_sale(sale_id: int) -> Room:
    """The room of a sale by its id. Raises FlashSale.DoesNotExist, also for drafts."""
    return _room(sale_id, pk=sale_id)


def of_slug(slug: str) -> Room:
    """The same by the sale's slug."""
    return _room(slug, slug=slug)


def forget() -> None:
    """Read what is known of sales again, in this process."""
    _known.clear()


def _room(key: int | str, **wanted: int | str) -> Room:
    room, until = _known.get(key, (None, 0.0))
    if room is not None and time.monotonic() < until:
        return room
    _known.pop(key, None)
    sale = FlashSale.objects.exclude(state=SaleState.DRAFT).get(**wanted)
    room = Room(
        sale_id=sale.pk,
        has_room=sale.has_waiting_room,
        is_over=sale.state in OVER,
        opens_at=sale.opens_at,
        closes_at=sale.closes_at,
        item_ids=tuple(sale.items.order_by("pk").values_list("pk", flat=True)),
    )
    _known[key] = room, time.monotonic() + KNOWN_SECONDS
    return room


# -- Inside -----------------------------------------------------------------------


def _visit(room: Room, visitor: str, *, joins: bool) -> Place:
    live = _live(room.item_ids)
    now = next((one.now for one in live), timezone.now())
    opens_at = min((one.opens_at for one in live), default=room.opens_at)
    if state := _without_room(room, live, now):
        return Place(state, now, opens_at)
    visit = rooms.visit(
        room.sale_id,
        visitor,
        allowance=allowance(live),
        opens_at=opens_at,
        closes_at=room.closes_at,
        joins=joins,
    )
    return Place(
        visit.state, visit.now, opens_at, visit.place, visit.until, visit.estimate
    )


def allowance(live: Collection[Live]) -> int:
    """How many people may be inside: a unit for each, left or on its way to be paid."""
    selling = [one for one in live if one.state in SELLING]
    return sum(one.sellable + one.held + one.paying for one in selling)


def _without_room(room: Room, live: Collection[Live], now: datetime) -> str:
    """Why nobody waits for this sale now, or nothing if people do."""
    states = {one.state for one in live}
    if room.is_over or now >= room.closes_at or states == {"ended"}:
        return "over"
    told = [one.has_room for one in live if one.state in (*SELLING, "not_started")]
    if not (any(told) if told else room.has_room):
        return "none"
    return "closed" if states == {"sold_out"} else ""


def _live(item_ids: Collection[int]) -> Collection[Live]:
    """The items' counters, or none while they cannot be asked: nobody is let in."""
    if not item_ids:
        return ()
    try:
        return flash.live(item_ids).values()
    except (NotLoaded, Unsure) as error:
        logger.warning("the waiting room stands still: %s", error)
        return ()
