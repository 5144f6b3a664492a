"""Servers that hang, stop, fill up or follow another."""

import signal
from uuid import uuid4

import pytest

from sales import counters
from sales.counters import NotLoaded, Unreachable, Unsure
from tests.factories import make_counters
from tests.sales.counters.steps import ITEM, claim, everything
from tests.threads import run_at_once

pytestmark = pytest.mark.redis


class TestServer:
    """What a caller is told when the server is slow, gone, full or a replica."""

    @pytest.fixture(autouse=True)
    def _impatient(self, settings):
        settings.SALE_REDIS_TIMEOUT_MS = 5000  # what answers at all is quicker

    def test_a_lost_answer_is_unsure_and_never_sent_again(self, own_sale_redis):
        make_counters(units=10)
        order_id = uuid4()
        own_sale_redis._process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unsure):
                claim(2, order_id=order_id)
        finally:
            own_sale_redis._process.send_signal(signal.SIGCONT)

        again = claim(2, order_id=order_id)  # asked again by its id

        s = counters.snapshot(ITEM)
        assert (s.left, s.held, s.claims) == (8, 2, 1)
        assert again.replayed

    def test_after_a_time_out_the_next_answer_is_ones_own(self, own_sale_redis):
        make_counters(units=10)
        own_sale_redis._process.send_signal(signal.SIGSTOP)
        with pytest.raises(Unsure):
            claim(2, buyer="g:bob")
        own_sale_redis._process.send_signal(signal.SIGCONT)
        assert counters.snapshot(ITEM).units == 10
        assert claim(1).expires_at

    def test_a_server_that_is_gone_is_unreachable(self, own_sale_redis):
        make_counters()
        own_sale_redis.kill()
        with pytest.raises(Unsure):
            claim()  # it may have died after it had decided
        with pytest.raises(Unreachable):
            claim()

    def test_a_server_without_memory_is_not_loaded_and_writes_nothing(
        self, own_sale_redis
    ):
        make_counters()
        redis = counters.client()
        before = everything(redis)
        redis.config_set("maxmemory", 1)
        with pytest.raises(NotLoaded):
            claim()
        redis.config_set("maxmemory", 0)
        assert everything(redis) == before
        assert claim().seq

    def test_a_replica_is_not_loaded(self, own_sale_redis):
        make_counters()
        counters.client().replicaof("127.0.0.1", "1")
        with pytest.raises(NotLoaded):
            claim()

    def test_a_replica_without_its_master_is_not_loaded(self, own_sale_redis):
        make_counters()
        redis = counters.client()
        redis.config_set("replica-serve-stale-data", "no")
        redis.replicaof("127.0.0.1", "1")
        with pytest.raises(NotLoaded):
            claim()

    def test_each_thread_has_a_connection_of_its_own(self, sale_redis):
        make_counters(units=200, limit=200)

        def buy(number):
            try:
                return counters.client().client_id(), claim(1).seq
            finally:
                counters.disconnect()

        answers = run_at_once(buy, range(8))
        assert len({connection for connection, _ in answers}) == 8
        assert len({seq for _, seq in answers}) == 8
