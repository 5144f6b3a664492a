"""Whatever is wrong in Redis is found and made anew from PostgreSQL."""

import pytest
from django.utils import timezone

from catalog.models import Stock
from sales import adjustments, checkout, counters, flash, recovery, sync
from sales.flash import preloading
from sales.models import FlashSaleItem
from tests.factories import make_item, make_loaded_item, make_product
from tests.sales.recovery.steps import claim, fresh, lose, numbers, pay
from tests.threads import run_at_once

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]

EVENTS = 3

DAMAGES = {
    "a counter is another": lambda r, k, i: r.hincrby(k[0], "left", 1),
    "two counters hide each other": lambda r, k, i: (
        r.hincrby(k[0], "left", 1),
        r.hincrby(k[0], "held", -1),
    ),
    "the number went back": lambda r, k, i: r.hincrby(k[0], "seq", -1),
    "the number went ahead": lambda r, k, i: r.hincrby(k[0], "seq", 5),
    "a field is gone": lambda r, k, i: r.hdel(k[0], "hold_ms"),
    "a field is no number": lambda r, k, i: r.hset(k[0], "left", "many"),
    "a claim is gone": lambda r, k, i: r.hdel(k[1], str(i)),
    "a key has another type": lambda r, k, i: r.set(k[2], "x"),
    "the epoch is another": lambda r, k, i: [
        r.hset(key, "epoch" if key == k[0] else "_epoch", 9) for key in k[:3]
    ],
    "an event is gone": lambda r, k, i: r.xdel(k[3], f"{EVENTS}-0"),
    "the stream was cut": lambda r, k, i: r.xtrim(k[3], maxlen=0),
}
# Nobody sees these without reading all events and claims, which the audit does.
NEED_THE_AUDIT = {
    "two counters hide each other",
    "an event is gone",
    "a claim is gone",
}


class TestRebuild:
    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("drained", [True, False])
    def test_whatever_is_wrong_in_redis_is_found_and_put_right(
        self, sale_redis, damage, drained
    ):
        item = make_loaded_item()
        order_id = claim(item, 2)  # with preload and opening, event 3
        assert counters.snapshot(item.pk).seq == EVENTS
        if drained:
            sync.drain(item.pk)
        DAMAGES[damage](sale_redis, counters.keys(item.pk), order_id)
        sale_redis.script_flush()

        (outcome,) = recovery.open_fence()

        assert outcome.rebuilt, outcome
        assert numbers(item) == (8, 2, 0, 0)
        assert fresh(item).epoch == 2
        assert flash.claim(
            item.pk, order_id=order_id, buyer="g:alice", quantity=2
        ).replayed

    @pytest.mark.parametrize("damage", sorted(DAMAGES.keys() - NEED_THE_AUDIT))
    def test_most_of_it_is_seen_at_a_glance_while_the_fence_is_open(
        self, sale_redis, damage
    ):
        item = make_loaded_item()
        order_id = claim(item, 2)
        DAMAGES[damage](sale_redis, counters.keys(item.pk), order_id)

        (outcome,) = recovery.heal()

        assert outcome.rebuilt, outcome
        assert numbers(item) == (8, 2, 0, 0)

    def test_every_state_of_an_order_comes_back(self, sale_redis, settings):
        item = make_loaded_item(product=make_product(on_hand=20))
        _held, paying, paid, gone, back = (claim(item, 2) for _ in range(5))
        checkout.begin_payment(paying)
        pay(paid)
        checkout.cancel(gone)
        pay(back)
        checkout.refund(back, restock=False)
        sync.drain(item.pk)
        before = dict(counters.claims(item.pk))
        lose(sale_redis)

        recovery.open_fence()

        after = dict(counters.claims(item.pk))
        assert {pk: (c.state, c.quantity, c.seq) for pk, c in after.items()} == {
            pk: (c.state, c.quantity, c.seq) for pk, c in before.items()
        }
        assert counters.buyers(item.pk) == {"g:alice": 6}
        s = counters.snapshot(item.pk)
        assert (s.units, s.left, s.released) == (18, 12, 2)

    def test_numbers_are_never_used_twice(self, sale_redis):
        item = make_loaded_item()
        lost = claim(item)
        seq = counters.find(item.pk, lost).seq
        lose(sale_redis)
        recovery.open_fence()
        assert counters.snapshot(item.pk).seq > seq + 1000
        again = counters.find(item.pk, lost)
        assert again.seq > seq

    def test_limits_hold_across_a_rebuild(self, sale_redis):
        item = make_loaded_item(limit=3)
        claim(item, 2)
        lose(sale_redis)
        recovery.open_fence()
        with pytest.raises(counters.ClaimRefused, match="limit_reached"):
            claim(item, 2)
        claim(item, 1)

    def test_units_that_were_added_are_added_once(self, sale_redis):
        item = make_loaded_item(product=make_product(on_hand=30), units=10)
        adjustments.change_units(item.pk, 5)
        lose(sale_redis)  # before the drain heard of it
        recovery.open_fence()
        assert counters.snapshot(item.pk).units == 10

        adjustments.send_waiting()
        adjustments.send_waiting()

        assert counters.snapshot(item.pk).units == 15
        assert Stock.objects.get(pk=item.product_id).allocated == 15

    def test_an_item_that_never_reached_redis_is_made(self, sale_redis):
        item = make_item(units=4)
        preloading._allocate(item.pk)
        (outcome,) = recovery.heal()
        assert outcome.rebuilt
        assert numbers(item) == (4, 0, 0, 0)
        assert fresh(item).loaded_at

    def test_a_lost_item_is_never_preloaded_anew(self, sale_redis):
        """It would start with all its units, and with nobody owning any."""
        item = make_loaded_item(units=4)
        claim(item, 3)
        FlashSaleItem.objects.filter(pk=item.pk).update(loaded_at=timezone.now())
        sale_redis.flushall()

        flash.preload(item.sale_id)

        with pytest.raises(counters.NotLoaded):
            claim(item)
        recovery.heal()
        assert numbers(item) == (1, 3, 0, 0)

    def test_two_recoveries_at_once_rebuild_once(self, sale_redis):
        item = make_loaded_item()
        claim(item)
        lose(sale_redis)

        def recover(_):
            try:
                return recovery.open_fence()
            finally:
                counters.disconnect()

        run_at_once(recover, range(3))

        assert fresh(item).epoch == 2
        assert numbers(item) == (9, 1, 0, 0)

    def test_an_old_epoch_that_comes_back_admits_nobody(self, sale_redis):
        item = make_loaded_item()
        claim(item)
        dumps = {
            key: sale_redis.execute_command("DUMP", key, NEVER_DECODE=True)
            for key in counters.keys(item.pk)
        }
        lose(sale_redis)
        recovery.open_fence()
        counters.delete(item.pk)
        for key, dump in dumps.items():
            sale_redis.restore(key, 0, dump)

        with pytest.raises(counters.Unsure):  # whoever still knows it as epoch 1
            claim(item)
        flash.forget_epochs()
        with pytest.raises(counters.NotLoaded):
            claim(item)

        recovery.heal()
        assert fresh(item).epoch == 3
        assert claim(item)
