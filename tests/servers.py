"""Real PostgreSQL and Redis for the tests, started before the settings are read.

A pytest plugin, loaded by `-p tests.servers`: pytest-django reads the settings before
any conftest.py. Each run has a data directory of its own under var/, each process of
a run its own two Redis servers, which tests may flush, kill and start; PostgreSQL is
shared, with a database per process. Instead of these, the run uses

    TEST_REDIS_SERVER    a redis-server program
    TEST_SALE_REDIS_URL  a sale Redis that runs (with -n 0: it cannot be shared)
    TEST_DATABASE_URL    a PostgreSQL server, by an account that may make databases
"""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from shop import embedded
from shop.daemons import Postgres, Redis

VAR = Path(__file__).resolve().parent.parent / "var"
# Only speed counts in this directory; the Redis servers keep their real settings.
POSTGRES_CONFIG = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "700",  # two processes may each have a test with 200 threads
}
ENVIRONMENT = {
    "SECRET_KEY": "only-for-tests",
    "DEBUG": "off",
    "SHOP_STAFF_TWO_FACTOR": "off",
    "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
    "SHOP_HTTPS": "off",
    "SHOP_TEST_GATEWAY": "on",
    "SHOP_WEBHOOK_INTERNAL": "on",  # receivers of the tests are on loopback
    "EMAIL_URL": "memorymail://",
    "SALE_REDIS_TIMEOUT_MS": "10000",  # a busy machine is no fault; faults set it lower
    "DJANGO_ALLOW_ASYNC_UNSAFE": "true",  # browser tests run beside an event loop
}

sale_redis: Redis | None = None
queue_redis: Redis | None = None
_running = ExitStack()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config):
    Redis.program = os.environ.get("TEST_REDIS_SERVER", "")
    processes = getattr(early_config.known_args_namespace, "numprocesses", None)
    if processes and os.environ.get("TEST_SALE_REDIS_URL"):
        raise pytest.UsageError("TEST_SALE_REDIS_URL needs one process: add -n 0")
    try:
        if "PYTEST_XDIST_WORKER" in os.environ:
            _start_redis(os.environ["PYTEST_XDIST_WORKER"])
        else:
            _set_environment(_own_a_directory())
            _start_redis("main")
        return (yield)
    except BaseException:
        _running.close()
        raise


def pytest_unconfigure():
    _running.close()


def _own_a_directory():
    # A second run at the same time takes the next directory.
    for name in ("test", *(f"test-{number}" for number in range(2, 10))):
        try:
            _running.enter_context(embedded.lock(VAR / name))
        except embedded.InUse:
            continue
        return VAR / name
    raise pytest.UsageError(f"too many test runs at once, see {VAR}")


def _set_environment(data_dir):
    for name in [name for name in os.environ if name.startswith("SHOP_")]:
        del os.environ[name]
    os.environ.update(ENVIRONMENT, DATA_DIR=str(data_dir))
    (data_dir / "static").mkdir(parents=True, exist_ok=True)  # whitenoise misses it
    database_url = os.environ.get("TEST_DATABASE_URL")
    if not database_url:
        postgres = Postgres(data_dir / "postgres", POSTGRES_CONFIG)
        _running.callback(postgres.stop)
        postgres.start()
        database_url = postgres.url()
    os.environ["DATABASE_URL"] = database_url


def _start_redis(process):
    global sale_redis, queue_redis
    directory = Path(os.environ["DATA_DIR"]) / process
    sale_redis = Redis(directory / "sale-redis", embedded.SALE_CONFIG)
    queue_redis = Redis(directory / "queue-redis", embedded.QUEUE_CONFIG)
    for server in (sale_redis, queue_redis):
        _running.callback(server.stop)
        server.start()
        with redis.Redis.from_url(server.url()) as client:
            client.flushall()
    os.environ["SALE_REDIS_URL"] = (
        os.environ.get("TEST_SALE_REDIS_URL") or sale_redis.url()
    )
    os.environ["QUEUE_REDIS_URL"] = queue_redis.url()
    os.environ["CACHE_REDIS_URL"] = queue_redis.url(database=1)
