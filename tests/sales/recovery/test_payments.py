"""What payments prove outlives the loss of Redis."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from sales import checkout, counters, recovery, sync
from sales.checkout import refunding
from sales.models import Payment
from tests.factories import make_loaded_item
from tests.sales.recovery.steps import claim, fresh, lose, pay, state_of

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestPayments:
    """Money is in PostgreSQL: what it proves is not lost with Redis."""

    @pytest.mark.parametrize(
        ("outcome", "state"),
        [("pending", "paying"), ("paid", "paid"), ("declined", "cancelled")],
    )
    @pytest.mark.parametrize("drained", [True, False])
    def test_steps_that_a_payment_proves_are_kept(
        self, sale_redis, outcome, state, drained
    ):
        item = make_loaded_item()
        order_id = claim(item, 2)
        payment = checkout.begin_payment(order_id)
        if drained:
            sync.drain(item.pk)
        if outcome != "pending":
            checkout.finish(payment.pk, outcome)
        lose(sale_redis)

        recovery.open_fence()

        assert state_of(order_id) == state
        checkout.follow_payments(timezone.now())
        sync.drain(item.pk)
        assert state_of(order_id) == state

    def test_the_word_that_came_while_redis_was_lost_is_followed(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        payment = checkout.begin_payment(order_id)
        lose(sale_redis)

        checkout.finish(payment.pk, "paid")  # cannot be followed now

        payment.refresh_from_db()
        assert (payment.state, payment.handled_at) == ("paid", None)
        recovery.open_fence()
        checkout.follow_payments(timezone.now())
        payment.refresh_from_db()
        assert payment.handled_at
        assert state_of(order_id) == "paid"

    def test_a_claim_held_again_after_a_decline_stays_held(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        pay(order_id, "declined")
        Payment.objects.update(created_at=timezone.now() - timedelta(seconds=5))
        checkout.claim_again(order_id)
        sync.drain(item.pk)
        lose(sale_redis)
        recovery.open_fence()
        assert state_of(order_id) == "held"

    @pytest.mark.parametrize("hold_ms", [60_000, 3_600_000])
    def test_a_decline_ends_a_claim_however_long_it_was_held(self, sale_redis, hold_ms):
        """Offers of the waiting list hold for another time than ordinary claims."""
        item = make_loaded_item()
        offer = counters.Claim(uuid4(), "g:alice", 1)
        counters.claim_many(item.pk, epoch=1, claims=[offer], offer_ms=hold_ms)
        sync.drain(item.pk)
        pay(offer.order_id, "declined")
        lose(sale_redis)
        recovery.open_fence()
        assert state_of(offer.order_id) == "cancelled"

    def test_a_second_payment_decides_after_a_first_was_declined(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        pay(order_id, "declined")
        sync.drain(item.pk)
        checkout.claim_again(order_id)
        sync.drain(item.pk)
        checkout.begin_payment(order_id)
        lose(sale_redis)
        recovery.open_fence()
        assert state_of(order_id) == "paying"
        assert fresh(item).poison_events == 0

    def test_a_refund_that_was_lost_is_kept_and_its_units_stay_away(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item, 2)
        payment = pay(order_id)
        sync.drain(item.pk)
        counters.refund(item.pk, epoch=1, order_id=order_id, restock=True)
        refunding.send_back(payment)
        lose(sale_redis)
        recovery.open_fence()
        assert state_of(order_id) == "refunded"
        assert counters.snapshot(item.pk).units == 8

    def test_late_money_whose_second_claim_was_lost_is_followed_again(self, sale_redis):
        item = make_loaded_item(units=1)
        order_id = claim(item)
        payment = pay(order_id, "declined")
        sync.drain(item.pk)
        checkout.finish(payment.pk, "paid")
        lose(sale_redis)
        recovery.open_fence()
        checkout.follow_payments(timezone.now())
        sync.drain(item.pk)
        assert state_of(order_id) == "paid"
