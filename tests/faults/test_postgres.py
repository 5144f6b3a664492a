"""PostgreSQL stopped, killed and started again while events are drained."""

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.db import DatabaseError, close_old_connections, connections

from sales.models import Order
from shop.daemons import Postgres
from tests.faults.load import make_sellable_item, shopping
from tests.faults.processes import environment
from tests.servers import POSTGRES_CONFIG

pytestmark = [
    pytest.mark.redis,
    pytest.mark.long,
    pytest.mark.django_db(transaction=True),
]

CAREFUL = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


@pytest.fixture
def own_postgres():
    """A PostgreSQL of the test's own, with our tables, in place of the shared one.

    Not under `tmp_path`: each run of pytest closes the directory above for others, also
    for the account that PostgreSQL runs as while we are root.
    """
    with TemporaryDirectory(prefix="faults-") as directory:
        config = {**POSTGRES_CONFIG, **CAREFUL}
        server = Postgres(Path(directory) / "postgres", config)
        server.start()
        copy_tables(server)
        with using(server):
            yield server
        server.kill()


def copy_tables(server):
    dump = subprocess.run(
        [server._bin / "pg_dump", environment()["DATABASE_URL"]],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [server._bin / "psql", "--quiet", "-v", "ON_ERROR_STOP=1", server.url()],
        check=True,
        capture_output=True,
        input=dump.stdout,
    )


@contextmanager
def using(server):
    """All connections of this process go to that server for the time of the block."""
    ours = connections.settings["default"]  # shared by the connections of all threads
    before = dict(ours)
    socket = server.url().partition("?host=")[2]
    connections["default"].close()
    ours.update(
        NAME="holdfast", USER="postgres", OPTIONS={**ours["OPTIONS"], "host": socket}
    )
    try:
        yield
    finally:
        connections["default"].close()
        ours.update(before)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_postgresql_ends_and_starts_again(
    own_sale_redis, own_postgres, all_is_well, end
):
    item = make_sellable_item()

    with shopping(item, pace=0.002) as log:
        for _ in range(3):
            log.wait_for(60)
            getattr(own_postgres, end)()
            with pytest.raises(DatabaseError):
                item.refresh_from_db()
            log.wait_for(20)  # claims need no PostgreSQL
            own_postgres.start()
            close_old_connections()
        log.wait_for(60)

    all_is_well(log)
    item.refresh_from_db()
    assert item.epoch == 1


def test_an_older_copy_of_postgresql_catches_up(
    own_sale_redis, own_postgres, all_is_well
):
    """The stream keeps all events of the sale, so nothing of it is lost."""
    item = make_sellable_item()
    backup = own_postgres.directory.with_name("backup")

    with shopping(item, moves=False, pace=0.005) as log:
        log.wait_for(60)
        own_postgres.stop()
        copy(own_postgres.directory, backup)
        own_postgres.start()
        wanted = own_orders() + 100
        while own_orders() < wanted:
            log.wait_for(20)
        own_postgres.stop()
        shutil.rmtree(own_postgres.directory)
        copy(backup, own_postgres.directory)
        own_postgres.start()
        assert own_orders() < wanted
        log.wait_for(60)

    all_is_well(log)
    item.refresh_from_db()
    assert item.epoch == 1


def copy(directory, to):
    """A copy with owners and all; PostgreSQL may run under another account."""
    subprocess.run(["cp", "-a", directory, to], check=True)


def own_orders():
    close_old_connections()
    try:
        return Order.objects.count()
    except DatabaseError:  # the first after a restart finds its connection broken
        connections["default"].close()
        return Order.objects.count()
