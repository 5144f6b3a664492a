"""What the tick does: payments that a crash left open, holds that are due."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet

from sales import counters
from sales.checkout import following, paying, refunding
from sales.counters import NotLoaded, StepRefused, Unsure
from sales.models import FlashSaleItem, Order, OrderState, Payment, PaymentState
from sales.payments.notice import Unreachable

logger = logging.getLogger(__name__)

FOLLOW_SECONDS = 25  # of each kind; the job has 120


def follow_payments(now: datetime) -> int:
    """Finish what a crash or a lost Redis left open; return how many payments moved.

    One bad payment, or one sale that waits for its recovery, does not stop the others.
    """
    decided = (PaymentState.PAID, PaymentState.DECLINED)
    waiting = Payment.objects.filter(handled_at=None, state__in=decided)
    owed = Payment.objects.filter(
        state=PaymentState.PAID, order__state=OrderState.REFUNDED
    )
    old = now - timedelta(seconds=settings.SHOP_PAYING_SECONDS)
    silent = Payment.objects.filter(state=PaymentState.PENDING, created_at__lt=old)
    moved = _each(waiting, following.follow)
    for found in (owed, Payment.objects.due(now)):
        moved += _each(found, lambda payment: refunding.send_back(payment, now=now))
    moved += _each(silent, lambda payment: paying.ask(payment, close=True))
    return moved + _release_forgotten(old)


def _release_forgotten(old: datetime) -> int:
    """Release flash orders that are in payment with nobody paying; a safety net."""
    alive = Payment.objects.filter(
        order=OuterRef("pk"), state__in=[PaymentState.PENDING, PaymentState.PAID]
    )
    forgotten = Order.objects.filter(
        ~Exists(alive),
        state=OrderState.PAYING,
        flash_item__has_keys=True,
        expires_at__lt=old,
    )
    released = 0
    for order in forgotten:
        try:
            following.release_declined(order)
            released += 1
        except (NotLoaded, Unsure) as error:
            logger.warning("order %s waits: %s", order.pk, error)
    return released


def _each(found: QuerySet[Payment], step: Callable[[Payment], object]) -> int:
    """Take the step with each payment, oldest first; return with how many it went.

    Stops after a while, as each call to a provider that is down takes its time.
    """
    moved = 0
    deadline = time.monotonic() + FOLLOW_SECONDS
    for payment in found.order_by("created_at").iterator(chunk_size=500):
        if time.monotonic() > deadline:
            break
        try:
            step(payment)
            moved += 1
        except (NotLoaded, Unsure, Unreachable) as error:
            logger.warning("payment %s waits: %s", payment.pk, error)
        except Exception:
            logger.exception("payment %s cannot be followed", payment.pk)
    return moved


def expire_due(now: datetime, *, limit: int = 1000) -> int:
    """Release flash holds that are due by PostgreSQL's time; Redis decides each.

    At most `limit` of each item, so that one that cannot go on does not stop the
    others; nor does one bad row. Returns how many were released.
    """
    due = Order.objects.due(now).filter(flash_item__has_keys=True)
    released = 0
    for item_id in list(due.order_by().values_list("flash_item", flat=True).distinct()):
        item = FlashSaleItem.objects.get(pk=item_id)
        rows = due.filter(flash_item=item, claim_id__isnull=False)
        claim_ids = rows.order_by("expires_at").values_list("claim_id", flat=True)
        try:
            released += _expire(item, [pk for pk in claim_ids[:limit] if pk])
        except (NotLoaded, Unsure) as error:
            logger.warning("flash item %s: expiry waits: %s", item.pk, error)
    return released


def _expire(item: FlashSaleItem, claim_ids: Sequence[UUID]) -> int:
    answers = counters.release_many(
        item.pk, epoch=item.epoch, order_ids=claim_ids, reason="expired"
    )
    released = 0
    for claim_id, answer in zip(claim_ids, answers, strict=True):
        if isinstance(answer, counters.Step):
            released += not answer.repeated
        elif not isinstance(answer, StepRefused):
            logger.error("claim %s cannot expire: %s", claim_id, answer)
    return released
