"""Money back: of a paid order, or of a payment that came too late."""

import logging
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog import alerts
from catalog.models import AlertKind
from sales import counters, orders, payments, sync
from sales.checkout import finding
from sales.counters import StepRefused
from sales.folding import Entry
from sales.models import (
    FlashSaleItem,
    ItemState,
    Order,
    OrderState,
    Payment,
    PaymentState,
)
from sales.orders import NotPossible
from sales.payments.notice import Refused, Unreachable

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)


def refund(
    order_id: UUID, *, restock: bool, actor: "User | None" = None, note: str = ""
) -> Order:
    """Send the money of a paid order back; with `restock` its units can be sold again.

    Raises NotPossible for an order that is not paid. Safe to repeat.
    """
    order = Order.objects.get(pk=order_id)
    if order.is_flash:
        _refund_flash(order, restock=restock, actor=actor, note=note)
    else:
        orders.refund(order_id, restock=restock, actor=actor, note=note)
    order.refresh_from_db()
    if order.state == OrderState.REFUNDED:  # else the next tick sends it
        for payment in Payment.objects.filter(order=order, state=PaymentState.PAID):
            send_back(payment)
    return order


def _refund_flash(
    order: Order, *, restock: bool, actor: "User | None", note: str
) -> None:
    item, claim_id = finding.claim_of(order.pk, order)
    if item.state == ItemState.SETTLED:
        _refund_settled(item.pk, order.pk, restock=restock)
    else:
        try:
            counters.refund(
                item.pk, epoch=item.epoch, order_id=claim_id, restock=restock
            )
        except StepRefused as error:
            raise NotPossible(_("Only a paid order can be refunded.")) from error
        sync.drain(item.pk, budget=timedelta(seconds=1))
    if not order.events.filter(state=OrderState.REFUNDED).exists():  # a second click
        order.state = OrderState.REFUNDED  # also while its row waits for the drain
        orders.log(order, note=note or "refunded", actor=actor)


@transaction.atomic
def _refund_settled(item_id: int, order_id: UUID, *, restock: bool) -> None:
    """Refund after settlement: PostgreSQL decides, and writes the event itself."""
    item = FlashSaleItem.objects.select_for_update().get(pk=item_id)
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.state == OrderState.REFUNDED:
        return
    if order.state != OrderState.PAID or order.claim_id is None:
        raise NotPossible(_("Only a paid order can be refunded."))
    claimed = sync.claims_of(item, [order.claim_id])[order.claim_id]
    entry = Entry(
        seq=item.last_seq + 1,
        epoch=item.epoch,
        kind="refund",
        at=sync.milliseconds(timezone.now()),
        order_id=order.claim_id,
        buyer=claimed.buyer,
        quantity=claimed.quantity,
        details={"restock": str(int(restock))},
    )
    sync.record(item, [(entry, False)])


def send_back(payment: Payment) -> None:
    """Send a payment's money back, and note first that it is to go.

    While the provider cannot be asked, `follow_payments` tries again; when it refuses,
    the shop is alerted.
    """
    Payment.objects.filter(pk=payment.pk, state=PaymentState.PAID).update(
        state=PaymentState.REFUNDED, handled_at=None
    )
    try:
        payments.gateway_of(payment).refund(payment)
    except Unreachable as error:
        logger.warning("payment %s: its money goes back later: %s", payment.pk, error)
        return
    except Refused as error:
        logger.error("payment %s: %s", payment.pk, error)
        alert(payment, _("the money could not be sent back (%s)") % error)
        return
    Payment.objects.filter(pk=payment.pk).update(handled_at=timezone.now())


def alert(payment: Payment, doubt: str) -> None:
    """Tell the shop, once, that a person must look at this payment."""
    text = _("Payment of order %(number)s: %(doubt)s.") % {
        "number": payment.order.number,
        "doubt": doubt,
    }
    alerts.raise_once(AlertKind.PAYMENT, text, cause=f"payment:{payment.pk}")
