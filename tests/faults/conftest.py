"""Each fault has servers of its own, and ends with all ten invariants."""

import logging
import os

import pytest

from tests.faults import invariants, load

SAYS = "says"


@pytest.fixture(autouse=True)
def _as_in_production(request, settings):
    """Where a server may be away, clients give up as soon as in production.

    Elsewhere a busy machine is no fault. A thousand orders stay quiet.
    """
    may_be_away = "own_sale_redis" in request.fixturenames
    settings.SALE_REDIS_TIMEOUT_MS = 300 if may_be_away else 5000
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


@pytest.fixture
def report(record_property):
    """Keep a sentence with figures for the end of the run, whoever ran the test."""

    def say(sentence):
        record_property(SAYS, f"{sentence}; load average {os.getloadavg()[0]:.1f}")

    return say


def pytest_terminal_summary(terminalreporter):
    """Say the figures in plain lines, also those of other processes of the run."""
    lines = [
        f"{test.nodeid.partition('::')[2]}: {text}"
        for test in terminalreporter.getreports("passed")
        if test.when == "teardown" or test.when == "call"
        for name, text in test.user_properties
        if name == SAYS
    ]
    if lines:
        terminalreporter.section("figures")
        for line in dict.fromkeys(lines):
            terminalreporter.write_line(line)
