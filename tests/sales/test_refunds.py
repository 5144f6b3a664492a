"""Refunds told of once, with two clicks and while somebody else drains."""

from threading import Event
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from catalog.models import OutboxEvent, WebhookEndpoint
from sales import checkout, flash, sync
from sales.models import FlashSaleItem, Order, OrderState, Payment
from tests.factories import make_loaded_item
from tests.threads import in_background

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def paid(sale_redis):
    """A paid order of one unit of a flash sale, and a system that hears of it."""
    WebhookEndpoint.objects.create(url="http://127.0.0.1:9/")
    item, order_id = make_loaded_item(units=1), uuid4()
    flash.claim(item.pk, order_id=order_id, buyer="b:1", quantity=1)
    checkout.finish(checkout.begin_payment(order_id).pk, "paid")
    sync.drain(item.pk)
    return Order.objects.get(pk=order_id)


def refunds_in_timeline(order):
    return list(order.events.filter(state="refunded").values_list("note", flat=True))


def told():
    return list(
        OutboxEvent.objects.filter(kind="order.paid").values_list("data__state")
    )


def test_a_second_click_refunds_and_tells_nothing_more(paid):
    for note in ("broken", "once more"):
        checkout.refund(paid.pk, restock=True, note=note)

    assert refunds_in_timeline(paid) == ["broken"]
    assert told() == [("paid",)]
    payment = Payment.objects.get()
    assert (payment.state, bool(payment.handled_at)) == ("refunded", True)


def test_a_refund_while_somebody_else_drains_is_told_as_one(paid):
    held, done = Event(), Event()

    def drain_slowly():
        with transaction.atomic():
            FlashSaleItem.objects.select_for_update().get(pk=paid.flash_item_id)
            held.set()
            done.wait(60)

    with in_background(drain_slowly):
        held.wait(60)
        checkout.refund(paid.pk, restock=True, note="broken")
        waits = Order.objects.get(pk=paid.pk).state
        done.set()
    sync.drain(paid.flash_item_id)
    checkout.follow_payments(timezone.now())

    assert waits == OrderState.PAID
    assert Order.objects.get(pk=paid.pk).state == OrderState.REFUNDED
    assert refunds_in_timeline(paid) == ["broken"]
    assert told() == [("paid",)]
    assert Payment.objects.get().state == "refunded"
