"""The journal is the second copy of a claim."""

from uuid import uuid4

import pytest

from sales import counters
from sales.counters import NotLoaded, Unsure
from tests.factories import make_counters
from tests.sales.counters.steps import ITEM, claim

pytestmark = pytest.mark.redis


class TestJournal:
    @pytest.fixture(autouse=True)
    def _empty(self):
        counters.drop_journal(ITEM)
        yield
        counters.drop_journal(ITEM)

    def note(self):
        order_id = uuid4()
        admitted = claim(2, order_id=order_id)
        stored = admitted.stored(buyer="g:alice", quantity=2)
        note = counters.Note(stored, admitted.seq)
        counters.journal(ITEM, order_id, note, epoch=1)
        return order_id, note

    def test_a_noted_claim_outlives_the_sale_redis(self, sale_redis):
        make_counters()
        order_id, note = self.note()
        sale_redis.flushall()
        assert counters.journaled(ITEM) == {order_id: note}

    def test_a_note_that_comes_late_does_not_replace_a_later_one(self, sale_redis):
        make_counters()
        order_id, note = self.note()
        later = counters.Note(note.claim, note.as_of + 8)
        counters.journal(ITEM, order_id, later, epoch=1)
        counters.journal(ITEM, order_id, note, epoch=1)
        assert counters.journaled(ITEM) == {order_id: later}

    def test_what_is_drained_is_forgotten(self, sale_redis):
        make_counters()
        first, second = self.note()[0], self.note()[0]
        counters.forget_journal(ITEM, [str(first)], up_to=99)
        counters.forget_journal(ITEM, [], up_to=99)
        assert counters.journaled(ITEM).keys() == {second}

    def test_what_was_noted_after_the_drain_is_not_forgotten(self, sale_redis):
        make_counters()
        order_id, note = self.note()
        counters.forget_journal(ITEM, [str(order_id)], up_to=note.as_of - 1)
        assert counters.journaled(ITEM) == {order_id: note}

    def test_no_note_is_taken_after_recovery_has_begun_to_read(self, sale_redis):
        make_counters()
        order_id, note = self.note()
        counters.close_journal(ITEM, 1)

        with pytest.raises(Unsure):
            self.note()

        assert counters.journaled(ITEM).keys() == {order_id}
        second = uuid4()
        counters.journal(ITEM, second, note, epoch=2)
        assert counters.journaled(ITEM).keys() == {order_id, second}

    def test_a_journal_that_is_gone_refuses_nobody(
        self, sale_redis, settings, tmp_path
    ):
        make_counters()
        settings.QUEUE_REDIS_URL = f"unix://{tmp_path}/nobody.sock"
        order_id, _ = self.note()
        counters.forget_journal(ITEM, [str(order_id)], up_to=99)
        counters.drop_journal(ITEM)

    def test_whoever_reads_a_journal_that_is_gone_is_told(self, settings, tmp_path):
        settings.QUEUE_REDIS_URL = f"unix://{tmp_path}/nobody.sock"
        with pytest.raises(NotLoaded):
            counters.close_journal(ITEM, 1)
        with pytest.raises(NotLoaded):
            counters.journaled(ITEM)
