"""Each fault has servers of its own, and ends with all ten invariants."""

import logging

import pytest

from tests.faults import invariants, load


@pytest.fixture
def all_is_well():
    """Wait until everything is at rest, then assert the ten invariants."""

    def check(log=None, **how):
        load.settle_down()
        assert invariants.violations(log=log, **how) == []

    return check


@pytest.fixture(autouse=True)
def _quiet(caplog):
    """Only what went wrong is worth reading after a thousand orders."""
    logging.getLogger("sales").setLevel(logging.WARNING)
    yield
    logging.getLogger("sales").setLevel(logging.NOTSET)
