"""What is found whole, closed or paused in Redis stays as it is."""

import pytest

from catalog.models import Stock
from sales import counters, flash, recovery, sync
from sales.models import ItemState
from tests.factories import make_loaded_item, make_product
from tests.sales.recovery.steps import claim, fresh, lose, state_of
from tests.threads import run_at_once

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestVerify:
    def test_a_whole_item_keeps_its_epoch_and_drains_its_tail(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        sale_redis.script_flush()

        (outcome,) = recovery.open_fence()

        assert not outcome.rebuilt
        assert outcome.found == "the counters are whole"
        assert state_of(order_id) == "held"
        assert fresh(item).epoch == 1
        assert claim(item)

    def test_an_open_fence_is_left_alone(self, sale_redis):
        make_loaded_item()
        assert recovery.open_fence() == []
        assert recovery.heal() == []
        (outcome,) = recovery.open_fence(force=True)
        assert not outcome.rebuilt

    def test_a_live_item_can_be_looked_at_without_harm(self, sale_redis):
        item = make_loaded_item(product=make_product(on_hand=500))

        def work(number):
            try:
                if number == 0:
                    return [recovery.recover(item.pk) for _ in range(10)]
                return [claim(item, buyer=f"g:{number}.{n}") for n in range(20)]
            finally:
                counters.disconnect()

        outcomes, *_ = run_at_once(work, range(5))

        assert not any(outcome.rebuilt for outcome in outcomes)

    def test_a_frozen_item_that_is_sound_goes_on(self, sale_redis):
        item = make_loaded_item()
        sync.freeze(item.pk, "somebody doubted")
        recovery.heal()
        assert (fresh(item).state, fresh(item).doubt) == (ItemState.LOADED, "")
        assert claim(item)

    def test_all_items_of_a_node_are_verified_before_any_is_open(self, sale_redis):
        items = [make_loaded_item() for _ in range(3)]
        lose(sale_redis)
        outcomes = recovery.open_fence()
        assert {outcome.item_id for outcome in outcomes} == {item.pk for item in items}
        assert all(outcome.rebuilt for outcome in outcomes)

    def test_what_opens_meets_the_threshold_of_now(self, sale_redis):
        item = make_loaded_item(product=make_product(on_hand=10))
        sale_redis.script_flush()
        Stock.objects.filter(pk=item.product_id).update(safety_threshold=4)
        recovery.open_fence()
        assert counters.snapshot(item.pk).floor == 4

    @pytest.mark.parametrize(
        ("step", "word"), [(flash.pause, "paused"), (flash.end, "ended")]
    )
    def test_what_was_closed_stays_closed(self, sale_redis, step, word):
        item = make_loaded_item()
        lose(sale_redis)
        step(item.sale_id)
        recovery.open_fence()
        assert counters.snapshot(item.pk).state == word

    def test_an_item_paused_by_the_audit_stays_paused(self, sale_redis):
        item = make_loaded_item()
        sync.move_item(item, ItemState.PAUSED, note="a violation")
        lose(sale_redis)
        recovery.open_fence()
        assert fresh(item).state == ItemState.PAUSED
        assert counters.snapshot(item.pk).state == "paused"
