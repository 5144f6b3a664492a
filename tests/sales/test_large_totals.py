"""What many dear units come to is a number like any other, in both channels."""

from decimal import Decimal
from uuid import uuid4

import pytest
from django.conf import settings

from sales import checkout, flash, sync
from sales.models import ItemState, Order, Payment
from tests.api import Api
from tests.factories import make_loaded_item, make_order, make_product

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]
MOST = {"price": settings.SHOP_MAX_PRICE, "on_hand": settings.SHOP_MAX_QUANTITY}
TOTAL = Decimal("9999999990000.00")


def paid(order_id):
    payment = checkout.begin_payment(order_id)
    Api().post(f"/payments/test/{payment.pk}", {"outcome": "paid"})
    return Payment.objects.get(pk=payment.pk)


def test_the_dearest_order_there_can_be_is_held_and_paid():
    order = make_order(make_product(**MOST), quantity=settings.SHOP_MAX_QUANTITY)

    payment = paid(order.pk)

    assert (payment.state, payment.amount) == ("paid", TOTAL)
    assert Order.objects.get().total == TOTAL
    assert Order.objects.get().state == "paid"


def test_the_dearest_claim_there_can_be_freezes_no_sale(sale_redis):
    units = settings.SHOP_MAX_QUANTITY
    product = make_product(**MOST)
    item = make_loaded_item(product=product, limit=units, price=product.price)
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer="g:ann", quantity=units)

    sync.drain(item.pk)
    payment = paid(order_id)
    sync.drain(item.pk)

    item.refresh_from_db()
    assert item.state == ItemState.LOADED
    assert (payment.state, payment.amount) == ("paid", TOTAL)
    assert Order.objects.get().state == "paid"
