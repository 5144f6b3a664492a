"""Offers to the first in line: claimed, drained, recorded, told."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from sales import counters, mails, sync
from sales.counters import (
    Admitted,
    Claim,
    ClaimRefused,
    NotLoaded,
    Snapshot,
    Unsure,
)
from sales.models import (
    EntryState,
    FlashEvent,
    FlashSaleItem,
    MailKind,
    Order,
    OrderState,
    WaitingEntry,
)
from sales.waiting_list import keeping

logger = logging.getLogger(__name__)

BATCH = 100  # entries served in one go
LATE = timedelta(minutes=5)  # an offer may be claimed so long after its entry was read


def hand_out(item_id: int, *, limit: int = BATCH) -> int:
    """Offer what is free to the first in line; return how many were told of an offer.

    Claimed in Redis first, then drained, then the entry is marked and its mail lined up
    in one transaction. What a crash left in between is found by the next call. Whoever
    wants more units than are free is offered those. Raises NotLoaded or Unsure.
    """
    item = FlashSaleItem.objects.get(pk=item_id)
    entries = list(WaitingEntry.objects.in_line().filter(item=item)[:limit])
    made, entries = _record(entries)
    s = counters.snapshot(item_id)
    if not s.free or not _admits(s):
        return made
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
    made += _record(asked)[0]
    _close_unreadable(item, dict(zip(asked, answers, strict=True)))
    _give_back(asked)
    return made


def offer_milliseconds() -> int:
    """How long an offer holds its units before it goes to the next in line."""
    return settings.SHOP_OFFER_SECONDS * 1000


def _admits(s: Snapshot) -> bool:
    return s.state in ("open", "room") and s.opens_at <= s.now < s.closes_at


def _shares(entries: Sequence[WaitingEntry], free: int) -> list[Claim]:
    """What the first in line get: all they want, and the last of them the rest.

    Nobody is offered more than the shop sells at once, whatever they asked for once.
    """
    claims = []
    for entry in entries:
        if not free:
            break
        units = min(entry.quantity, free, settings.SHOP_MAX_QUANTITY)
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


def _record(entries: Sequence[WaitingEntry]) -> tuple[int, list[WaitingEntry]]:
    """Tell those of the entries whose claim is an order now; how many, and the others.

    Their rows are locked and looked at again, so that each is told once.
    """
    if not entries:
        return 0, []
    rows = Order.objects.filter(
        flash_item=entries[0].item_id, claim_id__in=[e.order_id for e in entries]
    )
    orders = {(order.claim_id, order.buyer): order for order in rows}
    made, others = 0, []
    for entry in entries:
        order = orders.get((entry.order_id, entry.buyer))
        if order is not None:
            made += _recorded(entry, order)
        else:
            others.append(entry)
    return made, others


def _recorded(entry: WaitingEntry, order: Order) -> bool:
    """Whether the entry's shopper was told; a bad row does not stop those behind it."""
    try:
        return _offer(entry, order)
    except Exception:
        logger.exception("entry %s cannot be told of its offer", entry.order_id)
        return False


def _close_unreadable(
    item: FlashSaleItem,
    answers: Mapping[WaitingEntry, Admitted | ClaimRefused | NotLoaded],
) -> None:
    """Close entries whose claim never becomes an order: its event was set aside.

    Else they would be offered their units for good, and nobody behind them. The claim
    stays for the audit to find, which says what is to be done about it.
    """
    made = {a.seq: entry for entry, a in answers.items() if isinstance(a, Admitted)}
    poison = FlashEvent.objects.filter(item=item, seq__in=made, is_poison=True)
    for seq in poison.values_list("seq", flat=True):
        _close(made[seq], "conflict")


def _give_back(entries: Sequence[WaitingEntry]) -> None:
    """Release the claims of those who left before theirs was made.

    Also of claims that another worker drains just now. Who leaves from here on finds
    the claim, and gives it back.
    """
    left = WaitingEntry.objects.filter(state=EntryState.LEFT)
    for entry in left.filter(pk__in=[entry.pk for entry in entries]):
        keeping.release(entry)


def take_back(now: datetime) -> int:
    """Release offers that were claimed for who had left; return how many.

    `hand_out` does, too: this finds what a crash, or a Redis that did not answer, has
    left. Who has had the claim back since, and holds it again, keeps it.
    """
    since = now - timedelta(milliseconds=offer_milliseconds()) - LATE
    claim_of = {"claim_id": OuterRef("order_id"), "buyer": OuterRef("buyer")}
    held = Order.objects.filter(
        flash_item=OuterRef("item"), state=OrderState.HELD, **claim_of
    )
    given_back = FlashEvent.objects.filter(
        item=OuterRef("item"), order_id=OuterRef("order_id"), kind="release"
    )
    left = WaitingEntry.objects.filter(
        Exists(held), ~Exists(given_back), state=EntryState.LEFT, ended_at__gt=since
    )
    released = 0
    for entry in left:
        try:
            keeping.release(entry)
            released += 1
        except (NotLoaded, Unsure) as error:
            logger.warning("the offer of entry %s waits: %s", entry.order_id, error)
    return released


@transaction.atomic
def _offer(entry: WaitingEntry, order: Order) -> bool:
    """Mark the entry, and have its shopper told; False if it waits no longer."""
    locked = WaitingEntry.objects.select_for_update().get(pk=entry.pk)
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
    locked.state = EntryState.OFFERED
    locked.offered_at = timezone.now()
    locked.save(update_fields=["state", "offered_at"])
    logger.info("entry %s has an offer", entry.order_id)
    return True
