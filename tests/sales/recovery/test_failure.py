"""A recovery that fails, or that meets an old file, opens nothing."""

import shutil

import pytest

from catalog.models import Stock
from sales import counters, flash, recovery, sync
from sales.models import FlashSale, ItemState
from sales.recovery import rebuilding
from tests.factories import make_loaded_item
from tests.sales.recovery.steps import claim, fresh, numbers, state_of

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestFailure:
    def test_one_item_that_cannot_be_recovered_is_frozen_and_stops_no_other(
        self, sale_redis
    ):
        bad, good = make_loaded_item(), make_loaded_item()
        order_id = claim(bad, 4)
        # As if somebody had given the allocation away behind our back.
        Stock.objects.filter(pk=bad.product_id).update(allocated=2)
        sale_redis.script_flush()

        recovery.open_fence()

        assert claim(good)
        assert fresh(bad).state == ItemState.FROZEN
        with pytest.raises(counters.NotLoaded):
            claim(bad)
        Stock.objects.filter(pk=bad.product_id).update(allocated=10)
        recovery.heal()
        assert state_of(order_id) == "held"
        assert claim(bad)

    def test_a_node_stays_closed_when_an_item_could_not_be_closed(
        self, sale_redis, monkeypatch
    ):
        item = make_loaded_item()
        sale_redis.script_flush()
        monkeypatch.setattr(rebuilding, "recover", lambda item_id: 1 / 0)
        monkeypatch.setattr(sync, "freeze", lambda item_id, why: False)

        with pytest.raises(counters.NotLoaded, match="cannot be closed"):
            recovery.open_fence()

        assert not counters.has_scripts(item.pk)

    def test_a_restart_while_verifying_keeps_the_fence_closed(
        self, own_sale_redis, monkeypatch
    ):
        item = make_loaded_item()
        counters.flush_scripts()
        original = recovery.recover

        def restarted_meanwhile(item_id):
            outcome = original(item_id)
            own_sale_redis.kill()
            own_sale_redis.start()
            counters.disconnect()
            return outcome

        monkeypatch.setattr(rebuilding, "recover", restarted_meanwhile)
        with pytest.raises(counters.Unsure):
            recovery.open_fence()
        counters.disconnect()
        assert not counters.has_scripts(item.pk)

    def test_an_old_file_is_noticed(self, own_sale_redis, tmp_path):
        item = make_loaded_item()
        files = own_sale_redis.directory / "appendonlydir"
        order_id = claim(item)
        sync.drain(item.pk)
        own_sale_redis.kill()
        shutil.copytree(files, tmp_path / "old")
        own_sale_redis.start()
        counters.disconnect()
        recovery.open_fence()
        for _ in range(3):
            claim(item)
        sync.drain(item.pk)
        own_sale_redis.kill()
        shutil.rmtree(files)
        shutil.copytree(tmp_path / "old", files)
        own_sale_redis.start()
        counters.disconnect()

        (outcome,) = recovery.open_fence()

        assert "behind" in outcome.found
        assert numbers(item) == (6, 4, 0, 0)
        assert flash.claim(
            item.pk, order_id=order_id, buyer="g:alice", quantity=1
        ).replayed

    def test_an_old_file_of_an_ended_sale_is_not_settled(self, own_sale_redis):
        """Nothing may write to a node before it is verified, not even an end."""
        item = make_loaded_item()
        counters.flush_scripts()
        FlashSale.objects.filter(pk=item.sale_id).update(state="ended")
        before = counters.snapshot(item.pk)

        flash.advance()

        after = counters.snapshot(item.pk)
        assert (after.seq, after.state) == (before.seq, before.state)
        assert fresh(item).state == ItemState.LOADED

    def test_a_server_that_is_away_is_asked_again_later(self, own_sale_redis):
        make_loaded_item()
        own_sale_redis.kill()
        counters.disconnect()
        with pytest.raises(counters.NotLoaded):
            recovery.heal()
