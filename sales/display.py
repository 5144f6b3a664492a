"""What shoppers see and read of a flash item and of a refusal. No query, no Redis."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sales.flash import Live
from sales.models import FlashSaleItem, SaleState
from sales.tags import Tag

FEW = 5
SOON = timedelta(minutes=1)
OVER = (SaleState.ENDED, SaleState.SETTLED, SaleState.CANCELLED)
# Refusals whose detail is a number of units that could still be had.
COUNTED = ("sold_out", "all_held", "limit_reached")
BUSY_POLL, CALM_POLL = 2, 10  # seconds


@dataclass(frozen=True, slots=True)
class Shown:
    """A flash item at one moment of the server's clock."""

    item_id: int
    state: str
    now: datetime
    opens_at: datetime
    closes_at: datetime
    sellable: int = 0
    offered: int = 0
    limit: int = 1
    price: Decimal | None = None
    was: Decimal | None = None
    next_hold_at: datetime | None = None
    waiting: int = 0  # units that people in line want
    has_room: bool = False

    @property
    def can_buy(self) -> bool:
        return self.state == "open"

    @property
    def can_wait(self) -> bool:
        """Whether there is nothing to have but a place in the waiting list."""
        return self.state in ("sold_out", "all_held")

    @property
    def is_over(self) -> bool:
        return self.state == "ended"

    @property
    def is_scarce(self) -> bool:
        return self.can_buy and self.sellable <= FEW

    @property
    def until(self) -> datetime | None:
        """What the countdown waits for."""
        if self.is_over:
            return None
        return self.opens_at if self.state == "not_started" else self.closes_at

    @property
    def most(self) -> int:
        """The largest quantity worth asking for."""
        return max(1, min(self.limit, self.sellable))

    @property
    def poll_seconds(self) -> int:
        """How soon to look again; 0 when it is over."""
        if self.is_over:
            return 0
        far = self.state == "not_started" and self.opens_at - self.now > SOON
        is_calm = far or self.state in ("sold_out", "waiting_room")
        return CALM_POLL if is_calm else BUSY_POLL

    @property
    def sentence(self) -> str:
        return sentence(self.state)

    @property
    def waits_for_hold(self) -> bool:
        """Whether the end of a hold is what a shopper waits for, and is known."""
        return self.state == "all_held" and self.next_hold_at is not None

    def from_outside(self) -> "Shown":
        """The same for somebody whom the sale's waiting room has not let in."""
        shut = self.has_room and self.can_buy
        return replace(self, state="waiting_room") if shut else self

    def with_tag(self, tag: Tag | None) -> "Shown":
        """The same with the price and the next hold of the tag, if there is one."""
        if tag is None:
            return self
        return replace(
            self, price=tag.price, was=tag.was, next_hold_at=tag.next_hold_at
        )


def from_counters(live: Live) -> Shown:
    return Shown(
        item_id=live.item_id,
        state=live.state,
        now=live.now,
        opens_at=live.opens_at,
        closes_at=live.closes_at,
        sellable=live.sellable,
        offered=max(0, live.units - live.floor),
        limit=live.limit,
        waiting=live.waiting,
        has_room=live.has_room,
    )


def without_counters(
    item_id: int, *, opens_at: datetime, closes_at: datetime, now: datetime
) -> Shown:
    """An item whose counters are not in Redis: not yet, no longer, or in doubt."""
    state = "not_loaded"
    if now < opens_at:
        state = "not_started"
    elif now >= closes_at:
        state = "ended"
    return Shown(item_id, state, now, opens_at, closes_at)


def shown_items(
    items: Iterable[FlashSaleItem],
    live: Mapping[int, Live],
    tags: Mapping[int, Tag],
    *,
    now: datetime,
) -> dict[int, Shown]:
    """Each item as it is now; `items` come with their sale and product."""
    found = {}
    for item in items:
        is_over = item.sale.state in OVER
        if item.pk in live and not is_over:
            found[item.pk] = from_counters(live[item.pk])
        else:
            found[item.pk] = without_counters(
                item.pk,
                opens_at=item.opens_at,
                closes_at=min(now, item.closes_at) if is_over else item.closes_at,
                now=now,
            )
        tag = tags.get(item.pk)
        ends = tag.next_hold_at if tag else None
        # The row in hand is newer than what was copied from it.
        tag = Tag(item.price, item.product.price, ends)
        found[item.pk] = found[item.pk].with_tag(tag)
    return found


def sentence(state: str) -> str:
    """What the state of an item means for a shopper, and what to do next."""
    sentences = {
        "not_started": _("Not open yet. The button appears here when it opens."),
        "open": _("It is open."),
        "all_held": _(
            "Every unit is held by somebody who is paying now. If one is not paid in "
            "time it comes back: keep this page open."
        ),
        "sold_out": _("Sold out. Every unit has found its owner."),
        "paused": _("The shop has paused this sale. It goes on here by itself."),
        "ended": _("This sale is over."),
        "waiting_room": _(
            "People go in one after the other. When it is your turn in the waiting "
            "room, you can buy here."
        ),
        "not_loaded": _(
            "The stock of this sale is being checked. It goes on here by itself."
        ),
    }
    return sentences.get(state, "")


def room_sentence(state: str) -> str:
    """What a new state of the waiting room means, for those who hear the page."""
    sentences = {
        "outside": _("You are not in the waiting room."),
        "early": _("You are in. Places are drawn when the sale opens."),
        "waiting": _("You are in the waiting room."),
        "inside": _("It is your turn: you can buy now."),
        "none": _("There is no waiting room any more: everybody can buy now."),
        "closed": _("Sold out. The waiting room is closed."),
        "over": _("This sale is over."),
        "away": _("The waiting room does not answer. We ask again by ourselves."),
    }
    return sentences.get(state, "")


def not_changed(code: str, left: int, *, is_kept: bool) -> str:
    """Why a hold was not changed to another quantity, and what the shopper has now."""
    if is_kept:
        return _("You keep what you hold.") + " " + refusal(code, left)
    return _(
        "We gave your hold back to change it, and in that moment somebody else took "
        "the units. We are sorry: you hold nothing of this now."
    )


def refusal(code: str, left: int) -> str:
    """Why a claim got nothing, and what to do next."""
    if code in ("sold_out", "all_held") and left:
        return ngettext(
            "Only %(n)d unit is left, fewer than you asked for. Choose a smaller "
            "quantity.",
            "Only %(n)d units are left, fewer than you asked for. Choose a smaller "
            "quantity.",
            left,
        ) % {"n": left}
    if code == "limit_reached" and left:
        return ngettext(
            "There is a limit per person: you can have %(n)d more.",
            "There is a limit per person: you can have %(n)d more.",
            left,
        ) % {"n": left}
    sentences = {
        "limit_reached": _(
            "You have as many as one person can buy in this sale; you find them in My "
            "orders."
        ),
        "not_started": _("You were a moment too early: the sale has not opened yet."),
        "conflict": _(
            "This form was used for another order before. Here is a new one; please "
            "try again."
        ),
        "sold_out": _("You were not quick enough this time: it is sold out."),
        "line_first": _(
            "Others wait in line for what you would give back, so the number cannot be "
            "changed."
        ),
    }
    return sentences.get(code) or sentence(code)


def not_joined(code: str, detail: int) -> str:
    """Why somebody was not put into the waiting list, and what to do next."""
    sentences = {
        "available": _("It can be bought right now, so there is no need to wait."),
        "email_waits": _(
            "This address is in line already. We write to it when it is its turn."
        ),
        "not_started": _("The sale has not opened yet."),
    }
    return sentences.get(code) or refusal(code, detail)
