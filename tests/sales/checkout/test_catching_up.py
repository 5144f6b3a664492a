"""What the tick releases and finishes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sales import checkout, counters, orders, sync
from sales.checkout import following
from sales.models import FlashSaleItem, Payment
from tests.factories import make_loaded_item
from tests.sales.checkout.orders import (
    LATER,
    both_channels,
    claim,
    order_of,
    state_of,
)

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestExpiry:
    def test_one_item_in_doubt_does_not_stop_the_others(self, sale_redis, settings):
        settings.SHOP_FLASH_HOLD_SECONDS = 0
        bad, good = make_loaded_item(), make_loaded_item()
        for item in (bad, good):
            for _ in range(3):
                claim(item)
            sync.drain(item.pk)
        sync.freeze(bad.pk, "a test")

        assert checkout.expire_due(timezone.now() + LATER, limit=3) == 3

    def test_a_hold_that_began_again_is_not_taken_by_its_old_end(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        sync.drain(item.pk)
        assert checkout.expire_due(timezone.now() + LATER) == 0  # Redis decides
        assert state_of(order_id) == "held"


class TestFollowing:
    def test_silent_payments_are_ended_and_give_their_units_back(
        self, sale_redis, settings
    ):
        settings.SHOP_PAYING_SECONDS = 60
        order_id, _ = order_of("flash")
        checkout.begin_payment(order_id)
        checkout.follow_payments(timezone.now())
        assert state_of(order_id) == "paying"
        checkout.follow_payments(timezone.now() + timedelta(seconds=61))
        assert state_of(order_id) == "cancelled"

    def test_an_order_in_payment_that_nobody_pays_is_released(self, sale_redis):
        order_id, _ = order_of("flash")
        checkout.begin_payment(order_id).delete()
        state_of(order_id)
        checkout.follow_payments(timezone.now())
        assert state_of(order_id) == "paying"
        checkout.follow_payments(timezone.now() + LATER)
        assert state_of(order_id) == "cancelled"

    def test_a_payment_that_cannot_be_followed_stops_no_other(
        self, sale_redis, monkeypatch
    ):
        bad, good = (order_of("flash")[0] for _ in range(2))
        for order_id in (bad, good):
            payment = checkout.begin_payment(order_id)
            Payment.objects.filter(pk=payment.pk).update(state="paid")
        original = following._take

        def take(order, payment):
            if order.pk == bad:
                raise RuntimeError("a test")
            return original(order, payment)

        monkeypatch.setattr(following, "_take", take)
        checkout.follow_payments(timezone.now())
        assert state_of(good) == "paid"
        assert state_of(bad) == "paying"

    @both_channels
    def test_money_of_a_refunded_order_goes_back_after_a_crash(
        self, sale_redis, channel
    ):
        order_id, _ = order_of(channel)
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "paid")
        state_of(order_id)
        if channel == "flash":  # and the process ends here
            item = FlashSaleItem.objects.get()
            counters.refund(item.pk, epoch=1, order_id=order_id, restock=True)
        else:
            orders.refund(order_id, restock=True)
        assert state_of(order_id) == "refunded"

        checkout.follow_payments(timezone.now())

        payment.refresh_from_db()
        assert (payment.state, bool(payment.handled_at)) == ("refunded", True)
