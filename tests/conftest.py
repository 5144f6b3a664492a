"""Fixtures every test may use; the servers themselves come from tests/servers.py."""

import pytest

from sales import counters, flash
from shop import embedded
from shop.daemons import Redis


def _verified():
    """The sale Redis, emptied, with its fence open."""
    with counters.patience(10):  # a busy machine is no reason to fail here
        client = counters.client()
        client.flushall()
        client.script_flush()
        for text in counters.SCRIPTS.values():
            client.script_load(text)
    flash.forget_epochs()
    return counters.client()


@pytest.fixture
def own_sale_redis(tmp_path, settings):
    """A sale Redis of the test's own, to stop, kill and start again."""
    server = Redis(tmp_path / "sale-redis", embedded.SALE_CONFIG)
    server.start()
    settings.SALE_REDIS_URL = server.url()
    _verified()
    yield server
    counters.disconnect()
    server.kill()


@pytest.fixture
def sale_redis():
    """An empty, verified sale Redis; whatever a test does to it is gone afterwards."""
    client = _verified()
    yield client
    counters.disconnect()
    with counters.patience(10):
        counters.client().flushall()
