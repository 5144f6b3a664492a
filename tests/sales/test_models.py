"""Rows read as names and order numbers in the dashboard, not as numbers of rows."""

from decimal import Decimal
from uuid import UUID

import pytest

from sales.models import FlashAdjustment, Order, OrderEvent, OrderMail, Payment
from tests.factories import make_item, make_product, make_sale

ORDER = UUID("0a1b2c3d-0000-4000-8000-000000000000")


@pytest.mark.django_db
def test_an_item_reads_as_its_product_in_its_sale():
    item = make_item(product=make_product("Clay pot"), sale=make_sale("Night sale"))

    assert str(item) == "Clay pot in Night sale"


def test_what_is_about_an_order_reads_with_its_number():
    order = Order(pk=ORDER)

    assert str(order) == order.number == "0A1B2C3D"
    assert str(OrderEvent(order_id=ORDER, state="paid")) == "0A1B2C3D: Paid"
    assert str(OrderMail(order_id=ORDER, kind="refunded")) == (
        "Refund of order 0A1B2C3D"
    )
    payment = Payment(order_id=ORDER, amount=Decimal("9.50"), currency="EUR")
    assert str(payment) == "9.50 EUR for order 0A1B2C3D"


def test_an_adjustment_reads_as_what_it_changes():
    assert str(FlashAdjustment(units_delta=-3)) == "-3 units"
    assert str(FlashAdjustment(price=Decimal("4.00"))) == "price 4.00"
