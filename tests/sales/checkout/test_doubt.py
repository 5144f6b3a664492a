"""Money and orders while Redis has lost what it knew."""

import pytest
from django.utils import timezone

from sales import checkout, counters, recovery, sync
from sales.checkout import Pending
from sales.counters import NotLoaded
from sales.models import FlashSaleItem
from tests.factories import make_loaded_item
from tests.sales.checkout.orders import claim, order_of, state_of

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestDoubt:
    """A Redis that has lost an order is no reason to send its money back."""

    @pytest.mark.parametrize("lost", [*counters.PARTS, "scripts", "all"])
    def test_money_waits_for_recovery_and_is_not_sent_back(self, sale_redis, lost):
        item = make_loaded_item()
        order_id = claim(item)
        payment = checkout.begin_payment(order_id)
        sync.drain(item.pk)
        if lost in ("scripts", "all"):
            sale_redis.script_flush()
        if lost == "all":
            sale_redis.flushall()
        elif lost != "scripts":
            sale_redis.delete(f"flash:{{{item.pk}}}:{lost}")

        checkout.finish(payment.pk, "paid")

        payment.refresh_from_db()
        assert (payment.state, payment.handled_at) == ("paid", None)
        recovery.heal()
        assert checkout.follow_payments(timezone.now()) == 1
        assert state_of(order_id) == "paid"

    def test_a_claim_that_a_sound_redis_does_not_know_waits_too(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        payment = checkout.begin_payment(order_id)
        sale_redis.hdel(counters.keys(item.pk)[1], str(order_id))
        checkout.finish(payment.pk, "paid")
        payment.refresh_from_db()
        assert (payment.state, payment.handled_at) == ("paid", None)

    def test_the_shopper_sees_what_postgresql_has(self, sale_redis):
        item = make_loaded_item()
        drained = claim(item)
        sync.drain(item.pk)
        waiting = claim(item)
        assert isinstance(checkout.order_for_shopper(waiting), Pending)
        sale_redis.flushall()

        assert checkout.order_for_shopper(drained).state == "held"
        with pytest.raises(NotLoaded):
            checkout.order_for_shopper(waiting)  # "checking", and not "no such order"

    def test_an_order_of_a_sound_item_is_found_beside_a_lost_one(self, sale_redis):
        lost, sound = make_loaded_item(), make_loaded_item()
        order_id = claim(sound)
        counters.delete(lost.pk)
        assert checkout.order_for_shopper(order_id).item_id == sound.pk

    def test_the_shopper_sees_the_state_of_now_and_not_of_the_last_drain(
        self, sale_redis
    ):
        order_id, _ = order_of("flash")
        state_of(order_id)
        item = FlashSaleItem.objects.get()
        counters.begin_payment(item.pk, epoch=1, order_id=order_id)
        assert checkout.order_for_shopper(order_id).state == "paying"
