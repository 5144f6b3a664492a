"""Fixtures every test may use; the servers themselves come from tests/servers.py."""

import threading
import time
from types import SimpleNamespace

import hypothesis
import pytest
import redis
from django.conf import settings
from django.db import connections
from django.test import TransactionTestCase
from django.utils import translation

from sales import counters, demand, flash, waiting_room
from shop import embedded, health, limits
from shop.daemons import Redis

# The same examples in every run, however long each takes on a busy machine.
hypothesis.settings.register_profile(
    "same everywhere",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("same everywhere")

# What migrations and their signals fill, once, and no test changes.
KEPT = {"django_migrations", "django_content_type", "auth_permission"}


@pytest.fixture(scope="session", autouse=True)
def _quick_flush():
    """After a test that commits, empty only the tables it filled.

    Django truncates every table and makes all permissions again: most of the suite's
    time. `replica` keeps triggers out, the ledger's refusal of DELETE among them.
    """
    patch = pytest.MonkeyPatch()
    patch.setattr(TransactionTestCase, "_fixture_teardown", _empty_filled_tables)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _patience():
    """A busy machine is no reason to count nothing, or to call a server lost."""
    patch = pytest.MonkeyPatch()
    for module in (demand, health, limits):
        patch.setattr(module, "PATIENCE", 10)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _nothing_from_before():
    """Each test finds empty Redis servers, and this process remembers nothing of them.

    Not a job, a count, a place, a limit or a script of the tests before it, nor the
    language of a page that they asked for.
    """
    _end_timers()
    demand.send()
    for url in (settings.SALE_REDIS_URL, settings.QUEUE_REDIS_URL):
        with redis.Redis.from_url(url) as client:
            client.flushall()
            client.script_flush()
    flash.forget_epochs()
    waiting_room.forget()
    translation.deactivate()


@pytest.fixture
def one_minute(monkeypatch):
    """Calls are counted as in one minute, also when the next one has begun."""
    now = time.time()
    monkeypatch.setattr("shop.limits.time", SimpleNamespace(time=lambda: now))


@pytest.fixture(scope="session", autouse=True)
def _no_timer_outlives_the_servers():
    yield
    _end_timers()


def _end_timers():
    """Claims are counted by a thread a moment later; none is left for the next test."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()
            thread.join()


def _empty_filled_tables(case):
    for name in case._databases_names(include_mirrors=False):
        connection = connections[name]
        tables = set(connection.introspection.django_table_names(only_existing=True))
        looks = " UNION ALL ".join(
            f"SELECT '{table}' WHERE EXISTS (SELECT FROM \"{table}\")"
            for table in sorted(tables - KEPT)
        )
        with connection.cursor() as cursor:
            cursor.execute(looks)
            filled = [row[0] for row in cursor.fetchall()]
            cursor.execute("SET session_replication_role = replica")
            for table in filled:
                cursor.execute(f'DELETE FROM "{table}"')
            cursor.execute("SET session_replication_role = origin")


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
def queue_redis():
    """The queue's server: jobs, claims of the last minutes, waiting rooms."""
    url = settings.QUEUE_REDIS_URL
    with redis.Redis.from_url(url, decode_responses=True) as client:
        yield client


@pytest.fixture
def sale_redis():
    """An empty, verified sale Redis; whatever a test does to it is gone afterwards."""
    client = _verified()
    yield client
    counters.disconnect()
    with counters.patience(10):
        counters.client().flushall()
