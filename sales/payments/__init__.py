"""Payment providers behind one small interface."""

from collections.abc import Mapping
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from sales.models import Payment
from sales.payments import test as test_gateway
from sales.payments.notice import Notice, Page, Unreachable
from sales.payments.stripe import StripeGateway


class Gateway(Protocol):
    """What the shop asks of a provider; every call is safe to repeat by payment id."""

    name: str

    def start(self, payment: Payment) -> str:
        """The path where paying begins; it ends with the payment's id. Asks nobody."""

    def open(self, payment: Payment) -> Page:
        """The page where the shopper pays. Raises Unreachable or Refused."""

    def ask(self, payment: Payment, *, close: bool = False) -> Notice:
        """What became of the payment; the outcome is empty while it is open.

        With `close` the page is shut first, so that no money can come later. Raises
        Unreachable.
        """

    def refund(self, payment: Payment) -> None:
        """Send back all the money that came; nothing if it is back already.

        Raises Unreachable or Refused, with a sentence for the merchant; after either,
        the payment's `attempts` has grown.
        """

    def read(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """What a notification says. Raises BadSignature or Unreadable."""


GATEWAYS: dict[str, Gateway] = {}
if settings.STRIPE_SECRET_KEY:
    GATEWAYS["stripe"] = StripeGateway(
        settings.STRIPE_SECRET_KEY,
        webhook_secret=settings.STRIPE_WEBHOOK_SECRET,
        api_base=settings.STRIPE_API_BASE,
    )
if settings.SHOP_TEST_GATEWAY:
    GATEWAYS["test"] = test_gateway.TestGateway()


def default() -> Gateway:
    """The gateway new payments use. Raises ImproperlyConfigured if there is none."""
    for gateway in GATEWAYS.values():
        return gateway
    raise ImproperlyConfigured(
        "No payment gateway is on: set STRIPE_SECRET_KEY or SHOP_TEST_GATEWAY=on."
    )


def gateway_of(payment: Payment) -> Gateway:
    """The gateway a payment was made with, also once it is off for new payments.

    Raises Unreachable when its keys are gone.
    """
    if payment.gateway == test_gateway.TestGateway.name:
        return test_gateway.TestGateway()
    if payment.gateway not in GATEWAYS:
        raise Unreachable(f"the gateway {payment.gateway!r} is not set up")
    return GATEWAYS[payment.gateway]
