"""Whatever Redis has lost, nobody is admitted by mistake."""

from uuid import uuid4

import pytest

from sales import counters
from sales.counters import NotLoaded, StepRefused, Unsure, WrongEpoch
from tests.factories import make_counters
from tests.sales.counters.steps import ITEM, STEPS, claim, each_step, everything, held

pytestmark = pytest.mark.redis


class TestLost:
    """Missing keys are NotLoaded: never sold out, never zero."""

    @each_step
    @pytest.mark.parametrize("lost", range(4))
    def test_without_any_one_of_its_keys_an_item_does_nothing(
        self, sale_redis, step, lost
    ):
        make_counters()
        order_id = held()
        sale_redis.delete(counters.keys(ITEM)[lost])
        before = everything(sale_redis)

        with pytest.raises(NotLoaded):
            STEPS[step](None if step == "claim" else order_id)
        with pytest.raises(NotLoaded):
            counters.find(ITEM, order_id)

        assert everything(sale_redis) == before

    @pytest.mark.parametrize("field", counters.META_FIELDS)
    def test_without_a_field_of_meta_nobody_is_admitted(self, sale_redis, field):
        make_counters()
        sale_redis.hdel(counters.keys(ITEM)[0], field)
        with pytest.raises(NotLoaded):
            counters.snapshot(ITEM)
        assert counters.snapshots([ITEM]) == {}
        if field in ("units", "paid", "released"):
            return  # no claim reads these; recovery misses them
        with pytest.raises(NotLoaded):
            claim()

    @each_step
    @pytest.mark.parametrize("key", range(4))
    def test_a_key_of_a_wrong_type_is_not_loaded_and_no_error(
        self, sale_redis, step, key
    ):
        make_counters()
        order_id = held()
        sale_redis.set(counters.keys(ITEM)[key], "oops")
        # What a held claim does not allow is refused before the stream is written.
        refused = key == 3 and step in ("confirm", "refund")
        if (key, step) == (3, "reclaim"):
            assert STEPS[step](order_id).replayed
        else:
            with pytest.raises(StepRefused if refused else NotLoaded):
                STEPS[step](None if step == "claim" else order_id)
        with pytest.raises(NotLoaded):
            counters.snapshot(ITEM)

    def test_a_number_that_somebody_else_took_is_not_loaded(self, sale_redis):
        s = make_counters()
        sale_redis.xadd(counters.keys(ITEM)[3], {"event": "?"}, id=f"{s.seq + 1}-0")
        with pytest.raises(NotLoaded, match="ID specified"):
            claim()
        assert counters.snapshot(ITEM).left == s.left

    @each_step
    def test_another_epoch_is_refused(self, sale_redis, step):
        make_counters(epoch=2)
        with pytest.raises(WrongEpoch):
            STEPS[step](epoch=1)

    def test_counters_nobody_loaded_are_not_loaded(self, sale_redis):
        with pytest.raises(NotLoaded):
            claim()
        with pytest.raises(NotLoaded):
            counters.snapshot(ITEM)
        assert counters.snapshots([ITEM]) == {}
        assert sale_redis.dbsize() == 0


class TestFence:
    @each_step
    def test_without_its_scripts_a_node_does_nothing(self, sale_redis, step):
        make_counters()
        sale_redis.script_flush()
        with pytest.raises(NotLoaded, match="not verified"):
            STEPS[step]()
        with pytest.raises(NotLoaded, match="not verified"):
            counters.find(ITEM, uuid4())
        (answer,) = counters.release_many(
            ITEM, epoch=1, order_ids=[uuid4()], reason="expired"
        )
        assert isinstance(answer, NotLoaded)

    def test_no_call_ever_opens_the_fence(self, sale_redis):
        sale_redis.script_flush()
        make_counters()
        counters.snapshot(ITEM)
        counters.snapshots([ITEM])
        counters.adjust(ITEM, epoch=1, verified=1, fenced=False, state="recovering")
        counters.restore(ITEM, epoch=1, claims=[])
        for step in STEPS.values():
            with pytest.raises(NotLoaded):
                step()

        fenced = counters.SHAS.keys() - counters.UNFENCED
        assert not any(
            sale_redis.script_exists(*(counters.SHAS[name] for name in fenced))
        )
        assert not counters.has_scripts(ITEM)

    def test_a_witness_opens_the_fence(self, sale_redis):
        sale_redis.script_flush()
        witness = counters.Witness(ITEM)
        witness.load_scripts()
        witness.close()
        assert counters.has_scripts(ITEM)
        counters.flush_scripts()
        assert not counters.has_scripts(ITEM)

    def test_a_witness_of_a_server_that_restarted_opens_nothing(self, own_sale_redis):
        counters.flush_scripts()
        witness = counters.Witness(ITEM)
        own_sale_redis.kill()
        own_sale_redis.start()

        with pytest.raises(Unsure):
            witness.load_scripts()

        counters.disconnect()
        assert not counters.has_scripts(ITEM)

    def test_redis_forgets_scripts_when_it_restarts(self, own_sale_redis):
        make_counters()
        own_sale_redis.kill()
        own_sale_redis.start()
        counters.disconnect()
        assert counters.snapshot(ITEM).left == 10
        with pytest.raises(NotLoaded, match="not verified"):
            claim()
