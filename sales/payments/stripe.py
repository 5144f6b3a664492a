"""Stripe: the shopper pays on a page of Stripe Checkout, one session per payment.

The payment's id is the idempotency key of every write, so a repeat after a lost answer
meets the same session or refund. What Stripe says is read from the session alone,
whether it comes as a notification or as an answer.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import stripe
from django.conf import settings
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from stripe.checkout import Session

from sales.models import Payment, PaymentState
from sales.payments.notice import (
    OPENING,
    BadSignature,
    Notice,
    Page,
    Refused,
    Unreachable,
    Unreadable,
)

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

SIGNATURE = "Stripe-Signature"
TOLERANCE_SECONDS = 300
TIMEOUT_SECONDS = 6  # a shopper may be waiting
LONGEST = timedelta(hours=23, minutes=55)  # Stripe keeps a session for a day at most
SHORTEST = timedelta(minutes=31)  # and for half an hour at least
FAILED = "checkout.session.async_payment_failed"
CONCERNS = {
    "checkout.session.completed",
    "checkout.session.expired",
    "checkout.session.async_payment_succeeded",
    FAILED,
}
# How Stripe counts; not always what the currency's own standard says.
UNIT_ONLY = {
    *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"),
    *("PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"),
}
THOUSANDTHS = {"BHD", "JOD", "KWD", "OMR", "TND"}
NO_HUNDREDTHS = {"ISK", "UGX"}  # counted in hundredths, which must be zero


class StripeGateway:
    """Payments of one Stripe account."""

    name = "stripe"

    def __init__(self, key: str, *, webhook_secret: str, api_base: str) -> None:
        self._webhook_secret = webhook_secret
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": api_base},
            max_network_retries=1,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
        )

    def start(self, payment: Payment) -> str:
        """The path that opens the session and sends the shopper there."""
        return reverse("sales:stripe-payment", args=[payment.pk])

    def open(self, payment: Payment) -> Page:
        """The session of a payment. Raises Unreachable or Refused."""
        session = self._session(payment)
        return Page(reference=session.id, url=session.url or "")

    def ask(self, payment: Payment, *, close: bool = False) -> Notice:
        """What became of the session; with `close` it is expired if it is open.

        Raises Unreachable.
        """
        if not payment.reference:  # the shopper never went there
            word = PaymentState.DECLINED if close else ""
            return Notice("", payment.pk, word)
        try:
            session = self._session(payment)
        except Refused:
            return Notice("", payment.pk, PaymentState.DECLINED)
        if close and session.status == "open":
            session = self._expired(session.id)
        return _said("", session)

    def refund(self, payment: Payment) -> None:
        """Send back what was paid. Raises Unreachable or Refused.

        Each attempt has a key of its own, as Stripe answers a key for a day as it did
        at first, also when the reason to refuse has gone. What an earlier attempt has
        sent back without our knowing is "already refunded" then, and done.
        """
        intent = self._session(payment).payment_intent
        if intent is None:  # the order cost nothing
            return
        with _answer():
            try:
                refund = self._client.v1.refunds.create(
                    {
                        "payment_intent": intent
                        if isinstance(intent, str)
                        else intent.id,
                        "metadata": {"payment_id": str(payment.pk)},
                    },
                    {"idempotency_key": f"{payment.pk}-refund-{payment.attempts}"},
                )
            except stripe.InvalidRequestError as error:
                if error.code == "charge_already_refunded":
                    return
                raise
        if refund.status in ("failed", "canceled"):
            raise Refused(_reason(getattr(refund, "failure_reason", None), ""))

    def read(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """The notification in a request. Raises BadSignature or Unreadable."""
        try:
            stripe.WebhookSignature.verify_header(
                body, headers.get(SIGNATURE), self._webhook_secret, TOLERANCE_SECONDS
            )
        except (stripe.SignatureVerificationError, ValueError) as error:
            raise BadSignature("the signature does not fit or is too old") from error
        try:
            event = json.loads(body)
            event_id, kind = str(event["id"])[:200], event["type"]
            if kind not in CONCERNS:
                return Notice(event_id, None, "")
            session = Session.construct_from(event["data"]["object"], None)
            notice = _said(event_id, session)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unreadable(f"not an event of Stripe: {error!r}") from error
        if kind == FAILED and notice.payment_id:
            return replace(notice, outcome=PaymentState.DECLINED)
        return notice

    def _session(self, payment: Payment) -> Session:
        if payment.reference and payment.reference != OPENING:
            return self._found(payment.reference)
        with _answer():
            return self._client.v1.checkout.sessions.create(
                _wanted(payment), {"idempotency_key": str(payment.pk)}
            )

    def _found(self, reference: str) -> Session:
        with _answer():
            return self._client.v1.checkout.sessions.retrieve(
                reference, {"expand": ["payment_intent"]}
            )

    def _expired(self, reference: str) -> Session:
        """The session, expired; if the shopper was faster, as that left it."""
        try:
            with _answer():
                return self._client.v1.checkout.sessions.expire(reference)
        except Refused:
            return self._found(reference)


def _wanted(payment: Payment) -> "SessionCreateParams":
    """The session to create; the same whoever asks, as the idempotency key wants it."""
    order = payment.order
    wait = timedelta(seconds=settings.SHOP_PAYING_SECONDS) + SHORTEST
    back = reverse("sales:payment-return", args=[payment.pk])
    with translation.override(order.language or settings.LANGUAGE_CODE):
        name = _("Order %(number)s at %(shop)s") % {
            "number": order.number,
            "shop": settings.SHOP_NAME,
        }
    wanted: SessionCreateParams = {
        "mode": "payment",
        "client_reference_id": str(payment.pk),
        "metadata": {"payment_id": str(payment.pk)},
        "payment_intent_data": {
            "metadata": {"payment_id": str(payment.pk), "order_id": str(order.pk)}
        },
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": payment.currency.lower(),
                    "unit_amount": minor(payment.amount, payment.currency),
                    "product_data": {"name": name},
                },
            }
        ],
        "expires_at": int((payment.created_at + min(wait, LONGEST)).timestamp()),
        "success_url": settings.SITE_URL + back,
        "cancel_url": settings.SITE_URL + order.get_absolute_url(),
    }
    if order.email:
        wanted["customer_email"] = order.email
    return wanted


def minor(amount: Decimal, currency: str) -> int:
    """The amount as Stripe counts it. Raises Refused for parts nobody can pay."""
    counted = amount.scaleb(_decimals(currency))
    whole = amount if currency.upper() in NO_HUNDREDTHS else counted
    if whole != whole.to_integral_value():
        raise Refused(f"{amount} {currency} cannot be paid exactly")
    return int(counted)


def major(counted: int, currency: str) -> Decimal:
    """The amount of money in what Stripe counted."""
    return Decimal(counted).scaleb(-_decimals(currency))


def _decimals(currency: str) -> int:
    if currency.upper() in UNIT_ONLY:
        return 0
    return 3 if currency.upper() in THOUSANDTHS else 2


def _said(event_id: str, session: Session) -> Notice:
    """What a session says. One that this shop did not make is of no concern to it."""
    payment_id = session.client_reference_id
    # Links with a reference of the visitor's choice exist; metadata is ours alone.
    marks = session.metadata.to_dict() if session.metadata else {}
    if not payment_id or marks.get("payment_id") != payment_id:
        return Notice(event_id, None, "")
    currency = (session.currency or "").upper()
    counted = session.amount_total
    return Notice(
        event_id,
        UUID(payment_id),
        _outcome(session),
        amount=None if counted is None else major(counted, currency),
        currency=currency,
        reference=session.id,
    )


def _outcome(session: Session) -> str:
    """Paid, declined, or empty while it can still be either."""
    if session.payment_status in ("paid", "no_payment_required"):
        return PaymentState.PAID if session.status == "complete" else ""
    if session.status == "expired":
        return PaymentState.DECLINED
    intent = session.payment_intent
    if session.status == "complete" and isinstance(intent, stripe.PaymentIntent):
        failed = intent.status in ("requires_payment_method", "canceled")
        return PaymentState.DECLINED if failed else ""
    return ""


def _reason(code: str | None, message: str) -> str:
    """Why Stripe refused, in a sentence that says what to do about it."""
    if code == "charge_disputed":
        return _(
            "The shopper's bank disputes this payment, so it cannot be refunded now. "
            "Answer the dispute in Stripe's dashboard."
        )
    if code in ("insufficient_funds", "balance_insufficient"):
        return _(
            "There is not enough money in your Stripe balance. Add some in Stripe's "
            "dashboard."
        )
    if message:
        return _("Stripe says: “%(message)s”") % {"message": message[:200]}
    return _("The shopper's bank did not take the refund (%(code)s).") % {
        "code": code or "unknown"
    }


@contextmanager
def _answer() -> Iterator[None]:
    """Failures of a call to Stripe, by our names."""
    try:
        yield
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        raise Refused(_reason(error.code, error.user_message or "")) from error
    except stripe.StripeError as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error
