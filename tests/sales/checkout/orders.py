"""Orders in both channels, and calls that race for them."""

from datetime import timedelta
from uuid import uuid4

import pytest

from sales import counters, flash, orders, sync
from sales.counters import ClaimRefused
from sales.models import Order
from sales.orders import NotPossible
from tests.factories import make_loaded_item, make_product
from tests.threads import run_at_once

CONTACT = orders.Contact(email="a@example.com")
LATER = timedelta(hours=2)


def claim(item, quantity=1, *, buyer="g:alice"):
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=quantity)
    return order_id


def place(product, quantity=1):
    return orders.place(uuid4(), [(product.pk, quantity)], contact=CONTACT).pk


def order_of(channel, *, units=10):
    """A held order of one unit in that channel, and the stock's product id."""
    product = make_product(on_hand=units)
    if channel == "regular":
        return place(product), product.pk
    item = make_loaded_item(product=product)
    return claim(item), product.pk


def state_of(order_id):
    for item_id in sync.loaded_items():
        sync.drain(item_id)
    return Order.objects.get(pk=order_id).state


def at_once(*calls):
    """The outcomes of calls in threads of their own: the answer or the exception."""

    def run(call):
        try:
            return call()
        except (NotPossible, ClaimRefused) as refused:
            return refused
        finally:
            counters.disconnect()

    return run_at_once(run, calls)


both_channels = pytest.mark.parametrize("channel", ["regular", "flash"])
