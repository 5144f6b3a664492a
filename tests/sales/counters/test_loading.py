"""Counters are made once, and filled again only during recovery."""

from uuid import uuid4

import pytest

from sales import counters
from sales.counters import NotLoaded, StepRefused, WrongEpoch
from tests.factories import make_counters
from tests.sales.counters.steps import ITEM, TRILLION, adjust, claim, everything, held

pytestmark = pytest.mark.redis


class TestPreload:
    def test_the_same_epoch_again_changes_nothing(self, sale_redis):
        make_counters(units=10)
        held(3)
        before = everything(sale_redis)
        make_counters(units=10)
        assert everything(sale_redis) == before

    def test_another_epoch_is_refused(self, sale_redis):
        make_counters(epoch=1)
        with pytest.raises(WrongEpoch):
            make_counters(epoch=2)

    @pytest.mark.parametrize("leftover", range(1, 4))
    def test_any_leftover_key_is_a_conflict(self, sale_redis, leftover):
        sale_redis.set(counters.keys(ITEM)[leftover], "old")
        with pytest.raises(StepRefused, match="CONFLICT"):
            make_counters()

    def test_it_continues_the_numbers(self, sale_redis):
        assert make_counters(seq=41).seq == 42
        assert claim().seq == 43


class TestRestore:
    def test_claims_are_put_back_only_during_recovery(self, sale_redis):
        make_counters(state="recovering", held=2, left=8)
        stored = counters.StoredClaim("held", "g:bob", 2, TRILLION, 5, 3, True)
        gone = counters.StoredClaim("expired", "g:bob", 4, TRILLION, 6, 3, False)
        ids = [uuid4(), uuid4()]
        for _ in range(2):  # a repeat adds nothing
            counters.restore(ITEM, epoch=1, claims=[(ids[0], stored), (ids[1], gone)])
            counters.restore_buyers(ITEM, epoch=1, owned={"g:bob": 2})
        with pytest.raises(NotLoaded):
            counters.find(ITEM, ids[0])
        with pytest.raises(WrongEpoch):
            counters.restore(ITEM, epoch=2, claims=[])
        with pytest.raises(WrongEpoch):
            counters.restore_buyers(ITEM, epoch=2, owned={})
        adjust(state="open", verified=1)

        assert dict(counters.claims(ITEM)) == {ids[0]: stored, ids[1]: gone}
        assert counters.buyers(ITEM) == {"g:bob": 2}
        with pytest.raises(NotLoaded):
            counters.restore(ITEM, epoch=1, claims=[(uuid4(), stored)])
        assert claim(2, buyer="g:bob", order_id=ids[0]).left == 3
