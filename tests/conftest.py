"""Fixtures every test may use; the servers themselves come from tests/servers.py."""

import pytest

from sales import counters, flash


@pytest.fixture
def sale_redis():
    """An empty, verified sale Redis; whatever a test does to it is gone afterwards."""
    client = counters.client()
    client.flushall()
    client.script_flush()
    for text in counters.SCRIPTS.values():
        client.script_load(text)
    flash.forget_epochs()
    yield client
    counters.disconnect()
    counters.client().flushall()
