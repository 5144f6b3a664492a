"""Payment providers behind one small interface."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from sales.models import Payment
from sales.payments import test as test_gateway
from sales.payments.notice import Notice


class Gateway(Protocol):
    """What the shop asks of a provider; every call is safe to repeat by payment id."""

    name: str

    def start(self, payment: Payment) -> str:
        """Where the shopper pays; the path or URL ends with the payment's id."""

    def refund(self, payment: Payment, amount: Decimal) -> None:
        """Send the money back. Raises when the provider does not take the order."""

    def read(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """What a notification says. Raises BadSignature or Unreadable."""


GATEWAYS: dict[str, Gateway] = {}
if settings.SHOP_TEST_GATEWAY:
    GATEWAYS["test"] = test_gateway.TestGateway()


def default() -> Gateway:
    """The gateway new payments use. Raises ImproperlyConfigured if there is none."""
    for gateway in GATEWAYS.values():
        return gateway
    raise ImproperlyConfigured(
        "No payment gateway is on: set SHOP_TEST_GATEWAY=on or configure a provider."
    )


def gateway_of(payment: Payment) -> Gateway:
    """The gateway a payment was made with."""
    return GATEWAYS[payment.gateway]
