"""Money that comes when the order is over, or paid already."""

from decimal import Decimal
from uuid import uuid4

import pytest
from django.utils import timezone

from catalog.models import Stock
from sales import checkout, flash, orders
from sales.models import FlashSaleItem, ItemState, Payment
from tests.factories import make_loaded_item
from tests.sales.checkout.orders import (
    CONTACT,
    both_channels,
    claim,
    order_of,
    state_of,
)

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestLateMoney:
    @both_channels
    def test_money_after_a_decline_gets_a_unit_if_one_is_left(
        self, sale_redis, channel
    ):
        order_id, product_id = order_of(channel)
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "declined")
        checkout.finish(payment.pk, "paid")
        assert state_of(order_id) == "paid"
        assert Stock.objects.get(pk=product_id).on_hand == 9

    @both_channels
    def test_money_that_finds_nothing_left_goes_back(self, sale_redis, channel):
        order_id, product_id = order_of(channel, units=1)
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "declined")
        state_of(order_id)
        if channel == "flash":
            claim(FlashSaleItem.objects.get(), buyer="g:bob")
        else:
            orders.place(uuid4(), [(product_id, 1)], contact=CONTACT)

        checkout.finish(payment.pk, "paid")

        payment.refresh_from_db()
        assert (payment.state, bool(payment.handled_at)) == ("refunded", True)
        assert "too late" in payment.note
        assert state_of(order_id) == "cancelled"

    def test_money_after_the_settlement_goes_back(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "declined")
        flash.end(item.sale_id)
        flash.advance()
        assert FlashSaleItem.objects.get().state == ItemState.SETTLED
        checkout.finish(payment.pk, "paid")
        payment.refresh_from_db()
        assert payment.state == "refunded"

    @both_channels
    def test_an_order_paid_twice_gets_one_payment_back(self, sale_redis, channel):
        order_id, _ = order_of(channel)
        first = checkout.begin_payment(order_id)
        checkout.finish(first.pk, "declined")
        state_of(order_id)
        if channel == "flash":
            checkout.claim_again(order_id)
            second = checkout.begin_payment(order_id)
        else:
            second = Payment.objects.create(
                order_id=order_id, gateway="test", amount=Decimal(1), currency="USD"
            )
        checkout.finish(second.pk, "paid")

        checkout.finish(first.pk, "paid")

        states = dict(Payment.objects.values_list("pk", "state"))
        assert states == {first.pk: "refunded", second.pk: "paid"}
        assert state_of(order_id) == "paid"

    def test_a_decline_does_not_end_a_payment_that_came_after_it(self, sale_redis):
        order_id, _ = order_of("flash")
        first = checkout.begin_payment(order_id)
        # The decline is stored, and its order could not follow yet.
        Payment.objects.filter(pk=first.pk).update(state="declined")
        second = checkout.begin_payment(order_id)
        assert second.pk != first.pk

        checkout.follow_payments(timezone.now())

        assert state_of(order_id) == "paying"
        checkout.finish(second.pk, "paid")
        assert state_of(order_id) == "paid"
