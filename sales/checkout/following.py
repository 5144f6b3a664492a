"""The order goes where the provider's word about its payment says."""

import logging
from contextlib import suppress
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from catalog import stock
from sales import counters, mails, orders, rooms
from sales.checkout import finding, refunding
from sales.counters import ClaimRefused, Code, NotLoaded, StepRefused
from sales.models import (
    FlashSaleItem,
    ItemState,
    MailKind,
    Order,
    OrderState,
    Payment,
    PaymentState,
)
from sales.orders import NotPossible
from sales.rooms import RoomAway

logger = logging.getLogger(__name__)


def follow(payment: Payment) -> None:
    """Bring the order to where the payment's outcome says; safe to repeat.

    Decided under the order's lock, so that two followers cannot decide differently, and
    stored before money is sent back. Raises NotLoaded or Unsure when Redis cannot be
    asked; nothing is lost then.
    """
    if payment.handled_at or payment.state == PaymentState.PENDING:
        return
    with transaction.atomic():
        rows = Order.objects.select_for_update(of=("self",), no_key=True)
        order = rows.get(pk=payment.order_id)
        now = Payment.objects.select_for_update().get(pk=payment.pk)
        if not now.handled_at:
            if now.state == PaymentState.PAID and (note := _take(order, now)):
                now.state, now.note = PaymentState.REFUNDED, note
                mails.line_up(MailKind.SENT_BACK, [order])
            elif now.state != PaymentState.PAID:
                release_declined(order)
            if now.state != PaymentState.REFUNDED:
                now.handled_at = timezone.now()
            now.save(update_fields=["state", "note", "handled_at"])
    if now.state == PaymentState.REFUNDED and not now.handled_at:
        refunding.send_back(now)
    payment.refresh_from_db()


def _take(order: Order, payment: Payment) -> str:
    """Make the order PAID with this payment, or say why its money goes back."""
    others = order.payments.filter(state=PaymentState.PAID).exclude(pk=payment.pk)
    if others.filter(handled_at__isnull=False).exists():
        return "paid twice: money sent back"
    if _confirm_flash(order) if order.is_flash else _confirm_regular(order):
        return ""
    return "paid too late, nothing left: money sent back"


def _confirm_regular(order: Order) -> bool:
    """Make a regular order PAID; False when its units are gone."""
    try:
        orders.take_for_payment(order.pk)
        orders.confirm(order.pk)
    except (stock.InsufficientStock, NotPossible):
        return False
    return True


def _confirm_flash(order: Order) -> bool:
    """Make a flash order PAID; False when its units are gone or the sale is settled."""
    item, claim_id = finding.claim_of(order.pk, order)
    if not item.has_keys or item.state == ItemState.SETTLED:
        return order.state == OrderState.PAID
    for _round in range(5):  # each step may meet an expiry or a cancel
        try:
            counters.confirm(item.pk, epoch=item.epoch, order_id=claim_id)
            _make_room(item, order.buyer)
            return True
        except StepRefused as error:
            if error.code is Code.UNKNOWN:
                raise NotLoaded(f"Redis lost claim {claim_id}") from error
            state = error.detail
        if state == OrderState.REFUNDED or not _take_for_payment(item, claim_id, state):
            return False
    raise NotLoaded(f"claim {claim_id} does not come to rest")


def _make_room(item: FlashSaleItem, buyer: str) -> None:
    """Tell the sale's waiting room, if it has one, that a buyer takes no turn."""
    if not item.sale.has_waiting_room:
        return
    try:
        rooms.serve(item.sale_id, buyer)
    except RoomAway as error:  # their pass ends by itself
        logger.warning("flash sale %s: %s", item.sale_id, error)


def _take_for_payment(item: FlashSaleItem, claim_id: UUID, state: str) -> bool:
    """Bring a claim nearer to PAYING, for money that is there; False if it cannot."""
    epoch = item.epoch
    try:
        if state == OrderState.HELD:
            counters.begin_payment(item.pk, epoch=epoch, order_id=claim_id)
        else:
            counters.reclaim(item.pk, epoch=epoch, order_id=claim_id, target="paying")
    except ClaimRefused:
        return False
    except StepRefused as error:
        if error.code is Code.HOLD_ENDED:
            with suppress(StepRefused):
                counters.release(
                    item.pk, epoch=epoch, order_id=claim_id, reason="expired"
                )
    return True


def release_declined(order: Order) -> None:
    """Give the units back, unless another payment of the order may still come."""
    alive = order.payments.filter(state__in=[PaymentState.PENDING, PaymentState.PAID])
    if alive.exists():
        return
    if not order.is_flash:
        orders.release_payment(order.pk, note="payment declined")
        return
    item, claim_id = finding.claim_of(order.pk, order)
    if item.has_keys:
        try:
            counters.release(
                item.pk, epoch=item.epoch, order_id=claim_id, reason="declined"
            )
        except StepRefused as error:
            logger.info("order %s: nothing to release: %s", order.pk, error)
