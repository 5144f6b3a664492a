from decimal import Decimal

import pytest

from sales import checkout, payments
from tests import stripe_server
from tests.factories import make_order, make_product
from tests.sales.stripe.calls import gateway


@pytest.fixture
def account(monkeypatch):
    """Stripe, with this shop's account, as the gateway of new payments."""
    with stripe_server.running() as account:
        monkeypatch.setattr(payments, "GATEWAYS", {"stripe": gateway(account.url)})
        yield account


@pytest.fixture
def payment(account):
    """A payment that has begun, of an order of three units for 29.97."""
    order = make_order(make_product(price=Decimal("9.99")), quantity=3)
    return checkout.begin_payment(order.pk)


@pytest.fixture
def opened(payment):
    """The same with its page at Stripe opened."""
    checkout.open_page(payment)
    payment.refresh_from_db()
    return payment
