"""Each fault has servers of its own, and ends with all ten invariants."""

import logging

import pytest

from tests.faults import invariants, load


@pytest.fixture(autouse=True)
def _as_in_production(settings):
    """Clients give up as soon as in production; a thousand orders stay quiet."""
    settings.SALE_REDIS_TIMEOUT_MS = 300
    logging.getLogger("sales").setLevel(logging.WARNING)
    yield
    logging.getLogger("sales").setLevel(logging.NOTSET)


@pytest.fixture
def all_is_well():
    """Wait until everything is at rest, then assert the ten invariants."""

    def check(log=None, **how):
        load.settle_down()
        assert invariants.violations(log=log, **how) == []

    return check
