"""The test gateway: a page of our own where the tester plays the provider."""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from sales.models import Payment
from sales.payments.notice import BadSignature, Notice, Unreadable, amount_of

SIGNATURE = "Holdfast-Signature"
TOLERANCE_SECONDS = 300


class TestGateway:
    """Approves or declines at the tester's word; no money moves."""

    name = "test"

    def start(self, payment: Payment) -> str:
        """The path of the page that asks for the outcome."""
        return reverse("sales:test-payment", args=[payment.pk])

    def refund(self, payment: Payment, amount: Decimal) -> None:
        """Nothing was taken, so nothing goes back."""

    def read(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """The notification in a request. Raises BadSignature or Unreadable."""
        _check(body, headers.get(SIGNATURE, ""))
        try:
            said = json.loads(body)
            return Notice(
                event_id=str(said["id"])[:200],
                payment_id=UUID(str(said["payment_id"])),
                outcome=str(said["outcome"]),
                amount=amount_of(str(said["amount"])),
                currency=str(said["currency"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(str(error)) from error


def notification(
    payment: Payment, outcome: str, *, now: datetime | None = None
) -> tuple[bytes, dict[str, str]]:
    """The body and headers by which the test provider tells of a payment's outcome."""
    body = json.dumps(
        {
            "id": f"evt_{uuid4().hex}",
            "payment_id": str(payment.pk),
            "outcome": outcome,
            "amount": str(payment.amount),
            "currency": payment.currency,
        }
    ).encode()
    return body, {SIGNATURE: sign(body, now=now)}


def sign(body: bytes, *, now: datetime | None = None) -> str:
    """The signature of a body, with the second it was made in."""
    at = int((now or timezone.now()).timestamp())
    return f"t={at},v1={_mac(at, body)}"


def _check(body: bytes, signature: str) -> None:
    at, mac = "", ""
    for part in signature.split(","):
        name, _equals, value = part.partition("=")
        if name == "t":
            at = value
        elif name == "v1":
            mac = value
    if not at.isdecimal() or not constant_time_compare(mac, _mac(int(at), body)):
        raise BadSignature("the signature does not fit")
    if abs(timezone.now().timestamp() - int(at)) > TOLERANCE_SECONDS:
        raise BadSignature("the signature is too old")


def _mac(at: int, body: bytes) -> str:
    value = b"%d.%s" % (at, body)
    return salted_hmac("sales.payments.test", value, algorithm="sha256").hexdigest()
