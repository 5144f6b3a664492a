"""Orders given back and held again."""

import pytest

from sales import checkout, counters
from sales.orders import NotPossible
from tests.factories import make_loaded_item
from tests.sales.checkout.orders import both_channels, claim, order_of, state_of

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestCancelAndClaimAgain:
    @both_channels
    def test_what_is_in_payment_cannot_be_cancelled(self, sale_redis, channel):
        order_id, _ = order_of(channel)
        checkout.begin_payment(order_id)
        with pytest.raises(NotPossible, match="refunded, not cancelled"):
            checkout.cancel(order_id)

    def test_a_claim_that_is_still_in_the_stream_can_be_cancelled(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item, 3)
        checkout.cancel(order_id)
        checkout.cancel(order_id)
        assert counters.snapshot(item.pk).left == 10

    def test_a_refunded_order_cannot_be_held_again(self, sale_redis):
        order_id, _ = order_of("flash")
        checkout.finish(checkout.begin_payment(order_id).pk, "paid")
        checkout.refund(order_id, restock=True)
        with pytest.raises(NotPossible):
            checkout.claim_again(order_id)

    def test_an_order_held_again_has_a_new_end_and_may_be_paid(self, sale_redis):
        order_id, _ = order_of("flash")
        checkout.cancel(order_id)
        assert checkout.claim_again(order_id).state == "held"
        checkout.finish(checkout.begin_payment(order_id).pk, "paid")
        assert state_of(order_id) == "paid"
