"""From a hold to a paid order, in both channels."""

from uuid import uuid4

import pytest

from catalog.models import Stock
from sales import checkout
from sales.models import Order, Payment
from sales.orders import NotPossible
from tests.factories import make_loaded_item
from tests.faults import invariants
from tests.sales.checkout.orders import at_once, both_channels, order_of, state_of

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestPaying:
    @both_channels
    def test_a_paid_order_takes_its_units_off_the_shelf(self, sale_redis, channel):
        order_id, product_id = order_of(channel)
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "paid", reference="r1")
        assert state_of(order_id) == "paid"
        payment.refresh_from_db()
        assert (payment.state, payment.reference) == ("paid", "r1")
        row = Stock.objects.get(pk=product_id)
        assert (row.on_hand, row.reserved) == (9, 0)
        assert invariants.of_stock() == []

    @both_channels
    def test_two_clicks_share_one_payment(self, sale_redis, channel):
        order_id, _ = order_of(channel)
        checkout.record(order_id)
        found = at_once(*[lambda: checkout.begin_payment(order_id).pk] * 4)
        assert len(set(found)) == 1
        assert Payment.objects.count() == 1

    @both_channels
    def test_a_decline_gives_the_units_back_at_once(self, sale_redis, channel):
        order_id, product_id = order_of(channel)
        checkout.finish(checkout.begin_payment(order_id).pk, "declined")
        assert state_of(order_id) == "cancelled"
        assert Stock.objects.get(pk=product_id).reserved == 0

    @both_channels
    def test_the_word_of_the_provider_may_come_often(self, sale_redis, channel):
        order_id, product_id = order_of(channel)
        payment = checkout.begin_payment(order_id)
        at_once(*[lambda: checkout.finish(payment.pk, "paid")] * 4)
        checkout.finish(payment.pk, "declined")  # the first word counts
        assert state_of(order_id) == "paid"
        assert Stock.objects.get(pk=product_id).on_hand == 9

    @both_channels
    def test_an_order_that_is_paid_cannot_be_paid_again(self, sale_redis, channel):
        order_id, _ = order_of(channel)
        checkout.finish(checkout.begin_payment(order_id).pk, "paid")
        state_of(order_id)
        with pytest.raises(NotPossible):
            checkout.begin_payment(order_id)
        assert Payment.objects.count() == 1

    @both_channels
    def test_an_order_that_is_gone_leaves_no_payment_behind(self, sale_redis, channel):
        order_id, _ = order_of(channel)
        checkout.cancel(order_id)
        with pytest.raises(NotPossible):
            checkout.begin_payment(order_id)
        assert Payment.objects.count() == 0

    def test_a_hold_that_has_ended_cannot_be_paid(self, sale_redis, settings):
        settings.SHOP_FLASH_HOLD_SECONDS = 0
        order_id, _ = order_of("flash")
        with pytest.raises(NotPossible, match="hold"):
            checkout.begin_payment(order_id)
        assert Payment.objects.count() == 0

    def test_an_unknown_order_is_not_found(self, sale_redis):
        make_loaded_item()
        for step in (checkout.begin_payment, checkout.cancel, checkout.claim_again):
            with pytest.raises(Order.DoesNotExist):
                step(uuid4())

    def test_only_the_two_words_are_outcomes(self):
        with pytest.raises(ValueError, match="not an outcome"):
            checkout.finish(uuid4(), "perhaps")
