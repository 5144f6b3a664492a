"""From a hold to the provider's word about its payment, which is stored here."""

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from sales import counters, mails, orders, payments
from sales.checkout import finding, following, refunding
from sales.counters import NotLoaded, StepRefused, Unsure
from sales.models import MailKind, Order, OrderState, Payment, PaymentState
from sales.orders import Contact, NotPossible
from sales.payments.notice import OPENING, Notice, Refused

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

OUTCOMES = (PaymentState.PAID, PaymentState.DECLINED)


def set_contact(
    order_id: UUID, contact: Contact, *, user: "User | None" = None
) -> None:
    """Store who receives an order that is still open; touches nothing else."""
    fields: dict[str, object] = dict(asdict(contact), language=get_language() or "")
    if user is not None:
        fields["user"] = user
    Order.objects.filter(pk=order_id).update(**fields)


def begin_payment(order_id: UUID) -> Payment:
    """Make sure expiry cannot take the units, and return the payment to be made.

    Two clicks share one payment. The payment is noted before Redis is asked, so that
    no claim can stay in payment without one. Raises NotPossible with a sentence when
    the hold is over, Order.DoesNotExist, NotLoaded or Unsure.
    """
    order = finding.record(order_id)
    payment, created = _noted(order)
    if not order.is_flash:
        return payment
    try:
        _begin_flash(order)
    except NotPossible:
        if created:
            _forget(payment)
        raise
    return payment if created else _kept(payment)


def payment_url(payment: Payment) -> str:
    """Where the shopper pays."""
    return payments.gateway_of(payment).start(payment)


def open_page(payment: Payment) -> str:
    """The provider's own page for a pending payment; repeats give the same page.

    That it is being opened is noted first, so that a page whose address was lost is
    found again and closed. Raises NotPossible with a sentence, or Unreachable.
    """
    mine = Payment.objects.filter(pk=payment.pk, state=PaymentState.PENDING)
    mine.filter(reference="").update(reference=OPENING)
    payment.refresh_from_db()
    if payment.state != PaymentState.PENDING:
        raise NotPossible(_("This payment has ended."))
    try:
        page = payments.gateway_of(payment).open(payment)
    except Refused as error:
        logger.error("payment %s is refused: %s", payment.pk, error)
        raise NotPossible(
            _("The payment provider does not take this payment; please write to us.")
        ) from error
    mine.update(reference=page.reference)
    return page.url


def ask(payment: Payment, *, close: bool = False) -> None:
    """Ask the provider about a pending payment and do what it says.

    With `close` this is the final word: the provider's page is shut, so that no money
    can come later. Raises Unreachable, and then nothing has changed.
    """
    if payment.state == PaymentState.PENDING:
        said = payments.gateway_of(payment).ask(payment, close=close)
        hear(payment.pk, said)


def hear(payment_id: UUID, said: Notice) -> str:
    """Do what a provider says of a payment; returns why not, where a person must look.

    Money in another amount or currency than the order's confirms nothing: it goes back,
    and the shop is alerted. Safe to repeat, in any order.
    """
    if said.outcome not in OUTCOMES:
        return ""
    payment = Payment.objects.get(pk=payment_id)
    came, due = (said.amount, said.currency), (payment.amount, payment.currency)
    if said.outcome == PaymentState.DECLINED or came == due:
        finish(payment_id, said.outcome, reference=said.reference)
        return ""
    doubt = f"{said.amount} {said.currency} came, not {due[0]} {due[1]}"
    logger.error("payment %s: %s", payment_id, doubt)
    refunding.alert(payment, doubt)
    _refuse(payment_id, reference=said.reference, note=f"{doubt}: money sent back")
    return doubt


def _refuse(payment_id: UUID, *, reference: str, note: str) -> None:
    """Send back what came for a payment that was not paid as it should be."""
    with transaction.atomic():
        payment = Payment.objects.select_for_update().get(pk=payment_id)
        if payment.state not in (PaymentState.PENDING, PaymentState.DECLINED):
            return
        payment.state = PaymentState.REFUNDED
        payment.reference = reference or payment.reference
        payment.note = note[:200]
        payment.handled_at = None
        payment.save()
        mails.line_up(MailKind.SENT_BACK, [payment.order])
    _follow_now(payment)


def finish(payment_id: UUID, outcome: str, *, reference: str = "") -> Payment:
    """Store the provider's word ("paid" or "declined"), then let the order follow.

    The first word counts, except that money that comes after a decline is money. Safe
    to repeat; when Redis cannot be asked, `follow_payments` does the rest later.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"not an outcome: {outcome!r}")
    with transaction.atomic():
        payment = Payment.objects.select_for_update().get(pk=payment_id)
        late = payment.state == PaymentState.DECLINED and outcome == PaymentState.PAID
        if payment.state == PaymentState.PENDING or late:
            payment.state = outcome
            payment.reference = reference or payment.reference
            payment.handled_at = None
            payment.save()
            logger.info("payment %s: %s", payment.pk, outcome)
    _follow_now(payment)
    return payment


def _follow_now(payment: Payment) -> None:
    try:
        following.follow(payment)
    except (NotLoaded, Unsure) as error:
        logger.warning("payment %s: its order follows later: %s", payment.pk, error)


@transaction.atomic
def _noted(order: Order) -> tuple[Payment, bool]:
    """The order's pending payment, and whether it is new."""
    if not order.is_flash:
        orders.begin_payment(order.pk)
    _lock(order.pk)
    return Payment.objects.get_or_create(
        order=order,
        state=PaymentState.PENDING,
        defaults={
            "gateway": payments.default().name,
            "amount": order.total,
            "currency": order.currency,
        },
    )


@transaction.atomic
def _forget(payment: Payment) -> None:
    """Delete a payment that found no hold, unless another click has begun it since."""
    order = _lock(payment.order_id)
    item, claim_id = finding.claim_of(order.pk, order)
    claim = counters.find(item.pk, claim_id)
    if claim is None or claim.state != OrderState.PAYING:
        payment.delete()


@transaction.atomic
def _kept(payment: Payment) -> Payment:
    """The payment that was begun, or a new one if the click that noted it forgot it."""
    order = _lock(payment.order_id)
    if Payment.objects.filter(pk=payment.pk).exists():
        return payment
    return _noted(order)[0]


def _lock(order_id: UUID) -> Order:
    return Order.objects.select_for_update(of=("self",)).get(pk=order_id)


def _begin_flash(order: Order) -> None:
    item, claim_id = finding.claim_of(order.pk, order)
    try:
        step = counters.begin_payment(item.pk, epoch=item.epoch, order_id=claim_id)
    except StepRefused as error:
        raise NotPossible(
            _("The hold on this order has ended; try to claim it again.")
        ) from error
    if step.state == OrderState.PAID:
        raise NotPossible(_("This order is paid already."))
