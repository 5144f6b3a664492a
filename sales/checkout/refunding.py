"""Money back: of a paid order, or of a payment that came too late."""

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
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

# How long a refund waits that the provider did not take; at last once a day, for good.
WAITS = [timedelta(minutes=m) for m in (1, 5, 30, 120, 480, 1440)]
TOLD_AFTER = 3  # tries, some six minutes: what passes by itself is no news


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


def send_back(payment: Payment, *, now: datetime | None = None) -> None:
    """Send a payment's money back, and note first that it is to go.

    What the provider does not take waits, ever longer, and `follow_payments` tries it
    again. Safe to repeat: before its time has come, a repeat does nothing.
    """
    Payment.objects.filter(pk=payment.pk, state=PaymentState.PAID).update(
        state=PaymentState.REFUNDED, handled_at=None
    )
    now = now or timezone.now()
    _try(Payment.objects.due(now).filter(pk=payment.pk), now, skip_locked=True)


def try_refunds(order_id: UUID) -> None:
    """Try now what waits to go back of an order; somebody else's try is waited for.

    Raises NotPossible with the reason when it has to wait once more.
    """
    now = timezone.now()
    owed = Payment.objects.owed().filter(order=order_id)
    for payment_id in list(owed.values_list("pk", flat=True)):
        _try(owed.filter(pk=payment_id), now)
    if still := owed.first():
        raise NotPossible(still.error)


@transaction.atomic
def _try(found: QuerySet[Payment], now: datetime, *, skip_locked: bool = False) -> None:
    """Have the provider send back the payment found, if it is still to go.

    Its row is locked meanwhile, so that two workers make one try. A crash before the
    end leaves everything as it was; the next try asks the provider for the same.
    """
    rows = found.select_for_update(skip_locked=skip_locked, of=("self",), no_key=True)
    payment = rows.select_related("order").first()
    if payment is None:
        return
    try:
        payments.gateway_of(payment).refund(payment)
    except Refused as error:
        _postpone(payment, now, str(error))
    except Unreachable as error:
        logger.warning("payment %s: no refund: %s", payment.pk, error)
        why = _("The payment provider did not answer, or not to the shop's key.")
        _postpone(payment, now, why)
    else:
        payment.handled_at, payment.next_try_at, payment.error = now, None, ""
        payment.save(update_fields=["handled_at", "next_try_at", "error"])


def _postpone(payment: Payment, now: datetime, reason: str) -> None:
    payment.next_try_at = now + WAITS[min(payment.attempts, len(WAITS) - 1)]
    payment.attempts += 1
    payment.error = reason[:300]
    payment.save(update_fields=["next_try_at", "attempts", "error"])
    if payment.attempts != TOLD_AFTER:
        logger.warning("payment %s: its refund waits: %s", payment.pk, reason)
        return
    logger.error("payment %s: its refund keeps failing: %s", payment.pk, reason)
    text = _(
        "The refund of order %(number)s waits; %(count)s tries have failed. %(reason)s "
        "The order's page says when it is tried next."
    ) % {
        "number": payment.order.number,
        "count": payment.attempts,
        "reason": reason[:150],
    }
    alerts.raise_once(AlertKind.PAYMENT, text, cause=f"refund:{payment.pk}")


def alert(payment: Payment, doubt: str) -> None:
    """Tell the shop, once, that a person must look at this payment."""
    text = _("Payment of order %(number)s: %(doubt)s.") % {
        "number": payment.order.number,
        "doubt": doubt,
    }
    alerts.raise_once(AlertKind.PAYMENT, text, cause=f"payment:{payment.pk}")
