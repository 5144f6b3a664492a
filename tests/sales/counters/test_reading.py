"""What is read from the counters, and how numbers are written."""

import pytest

from sales import counters
from tests.factories import make_counters
from tests.sales.counters.steps import (
    ITEM,
    TRILLION,
    adjust,
    claim,
    everything,
    held,
    paid,
    released,
)

pytestmark = pytest.mark.redis


class TestNumbers:
    def test_numbers_are_never_written_with_an_exponent(self, sale_redis):
        million = 1_000_000
        make_counters(
            units=million * 1000, limit=million * 10, seq=TRILLION * 10, hold=million
        )
        admitted = claim(million)
        second = paid(million)
        released(million)
        counters.refund(ITEM, epoch=1, order_id=second, restock=False)
        adjust(units=million * 100, floor=million * 3, closes_at=TRILLION * 9)

        s = counters.snapshot(ITEM)
        assert s.seq == TRILLION * 10 + 9
        assert admitted.seq == TRILLION * 10 + 2
        assert s.units == million * 1099
        texts = str(everything(sale_redis)).lower()
        assert "e+" not in texts
        assert ".0" not in texts
        assert counters.event(ITEM, s.seq).fields["closes_at"] == str(TRILLION * 9)


class TestReading:
    def test_a_snapshot_counts_claims_buyers_and_events(self, sale_redis):
        make_counters()
        held()
        paid(buyer="g:bob")
        s = counters.snapshot(ITEM)
        assert (s.claims, s.buyers, s.events, s.last_id) == (2, 2, 5, f"{s.seq}-0")
        assert s.is_whole
        assert s.sellable == 8

    def test_snapshots_leaves_out_what_is_not_loaded(self, sale_redis):
        make_counters(1)
        make_counters(3, floor=20)
        found = counters.snapshots([1, 2, 3])
        assert found.keys() == {1, 3}
        assert found[3].sellable == 0
        assert found[1].now > 0
        assert counters.snapshots([]) == {}

    def test_a_damaged_item_does_not_hide_the_others(self, sale_redis):
        for item_id in (1, 2, 3):
            make_counters(item_id)
        sale_redis.set(counters.keys(1)[0], "oops")
        sale_redis.hset(counters.keys(2)[0], "left", "many")
        assert counters.snapshots([1, 2, 3]).keys() == {3}

    def test_events_come_in_order_and_in_portions(self, sale_redis):
        make_counters()
        for _ in range(4):
            held()
        assert [e.seq for e in counters.events(ITEM, after=1, limit=2)] == [2, 3]
        assert [e.seq for e in counters.events(ITEM, after=3, limit=9)] == [4, 5]
        assert counters.event(ITEM, 9) is None
        assert counters.event(ITEM, 3).id == "3-0"

    def test_an_event_that_is_no_text_can_still_be_read(self, sale_redis):
        make_counters()
        sale_redis.xadd(counters.keys(ITEM)[3], {"event": b"\xff\xfe"}, id="2-0")
        (event,) = counters.events(ITEM, after=1, limit=1)
        assert event.fields["event"] == "\\xff\\xfe"

    def test_deleting_leaves_nothing(self, sale_redis):
        make_counters()
        counters.delete(ITEM)
        assert sale_redis.dbsize() == 0
