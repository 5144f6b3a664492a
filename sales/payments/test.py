"""The test gateway: a page of our own where the tester plays the provider."""

import json
from collections.abc import Mapping
from datetime import datetime
from io import BytesIO
from uuid import UUID, uuid4

from django.core.handlers.wsgi import WSGIRequest
from django.urls import resolve, reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from sales.models import Payment, PaymentState
from sales.payments.notice import BadSignature, Notice, Page, Unreadable, amount_of

SIGNATURE = "Holdfast-Signature"
TOLERANCE_SECONDS = 300
LONGEST_TIME = 12  # digits of seconds: of anything longer, int() may fail


class TestGateway:
    """Approves or declines at the tester's word; no money moves."""

    name = "test"

    def start(self, payment: Payment) -> str:
        """The path of the page that asks for the outcome."""
        return reverse("sales:test-payment", args=[payment.pk])

    def open(self, payment: Payment) -> Page:
        """The same page: it is ours."""
        return Page(reference="", url=self.start(payment))

    def ask(self, payment: Payment, *, close: bool = False) -> Notice:
        """Nothing is known beside the notifications; `close` declines."""
        return Notice("", payment.pk, PaymentState.DECLINED if close else "")

    def refund(self, payment: Payment) -> None:
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


def send(payment: Payment, outcome: str, *, times: int = 1) -> None:
    """Tell the shop of an outcome at the address where real providers do it.

    `times` repeats the same notification. Raises RuntimeError if it is not taken.
    """
    body, headers = notification(payment, outcome)
    path = f"/api/v1/payments/webhook/{TestGateway.name}"
    for _round in range(times):
        request = WSGIRequest(
            {
                "REQUEST_METHOD": "POST",
                "PATH_INFO": path,
                "SERVER_NAME": "localhost",
                "SERVER_PORT": "80",
                "REMOTE_ADDR": "127.0.0.1",
                "CONTENT_TYPE": "application/json",
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_HOLDFAST_SIGNATURE": headers[SIGNATURE],
                "wsgi.input": BytesIO(body),
            }
        )
        request.resolver_match = match = resolve(path)
        response = match.func(request, *match.args, **match.kwargs)
        if response.status_code != 200:
            raise RuntimeError(f"the shop answered {response.status_code}")


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
    is_time = at.isdecimal() and len(at) <= LONGEST_TIME
    if not is_time or not constant_time_compare(mac, _mac(int(at), body)):
        raise BadSignature("the signature does not fit")
    if abs(timezone.now().timestamp() - int(at)) > TOLERANCE_SECONDS:
        raise BadSignature("the signature is too old")


def _mac(at: int, body: bytes) -> str:
    value = b"%d.%s" % (at, body)
    return salted_hmac("sales.payments.test", value, algorithm="sha256").hexdigest()
