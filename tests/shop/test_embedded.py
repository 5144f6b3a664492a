import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import psutil
import psycopg2
import pytest
import redis

from shop import embedded
from shop.daemons import EmbeddedError, Postgres, Redis

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = {"fsync": "off"}
USE = """
import pathlib, select, sys
from shop import embedded
with embedded.servers(pathlib.Path(sys.argv[1])) as env:
    print(env["DATABASE_URL"], flush=True)
    select.select([sys.stdin], [], [], float(sys.argv[2]))
"""


def start_user(data_dir, seconds=60):
    """A process that owns the directory, or uses the servers of its owner.

    It ends after that time, or when its input does.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", USE, data_dir, str(seconds)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.url = process.stdout.readline().strip()
    return process


def finish(process):
    process.stdin.close()
    process.stdout.close()
    return process.wait(timeout=60)


def execute(url, statement):
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


def running_in(directory):
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_there = Path(process.cwd()).is_relative_to(directory)
            if is_there and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_until_empty(directory):
    deadline = time.monotonic() + 60
    while running_in(directory) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not running_in(directory)


@pytest.fixture
def client(tmp_path):
    """Makes clients of a Redis server, closed at the end."""
    opened = []

    def connect(url):
        opened.append(redis.Redis.from_url(url))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def test_servers_keep_their_data(tmp_path, client):
    with embedded.servers(tmp_path, postgres_config=QUICK) as env:
        execute(env["DATABASE_URL"], "CREATE TABLE kept AS SELECT 7 AS n")
        client(env["SALE_REDIS_URL"]).set("kept", 8)

    assert wait_until_empty(tmp_path)
    with embedded.servers(tmp_path, postgres_config=QUICK) as env:
        assert execute(env["DATABASE_URL"], "SELECT n FROM kept") == [(7,)]
        assert client(env["SALE_REDIS_URL"]).get("kept") == b"8"


def test_servers_have_separate_redis_databases_and_safe_settings(tmp_path, client):
    with embedded.servers(tmp_path, postgres_config=QUICK) as env:
        sale = client(env["SALE_REDIS_URL"]).config_get("*")
        client(env["QUEUE_REDIS_URL"]).set("job", 1)

        assert client(env["CACHE_REDIS_URL"]).get("job") is None
        assert client(env["SALE_REDIS_URL"]).get("job") is None
    assert (sale["appendonly"], sale["appendfsync"]) == ("yes", "always")
    assert (sale["maxmemory-policy"], sale["port"]) == ("noeviction", "0")


def test_second_process_uses_the_servers_of_the_first(tmp_path):
    with embedded.servers(tmp_path, postgres_config=QUICK) as env:
        user = start_user(tmp_path, seconds=0)

        assert user.url == env["DATABASE_URL"]
        assert finish(user) == 0
        assert execute(env["DATABASE_URL"], "SELECT 1") == [(1,)]


def test_owner_waits_for_users_before_it_stops_the_servers(tmp_path):
    lines = []

    def report(line):
        lines.append(line)
        if line.startswith("waiting for other processes"):
            user.stdin.close()

    with embedded.servers(tmp_path, report=report, postgres_config=QUICK):
        user = start_user(tmp_path)

    assert finish(user) == 0
    assert lines[-1].startswith("waiting for other processes")


def test_owned_refuses_a_directory_in_use(tmp_path):
    with embedded.owned(tmp_path, postgres_config=QUICK):
        with pytest.raises(embedded.InUse, match=str(os.getpid())):
            embedded.owned(tmp_path).__enter__()
        with pytest.raises(embedded.InUse):
            embedded.reset(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_servers_end_with_their_owner_and_start_again(tmp_path, number):
    owner = start_user(tmp_path)
    execute(owner.url, "CREATE TABLE kept AS SELECT 7 AS n")

    owner.send_signal(number)
    finish(owner)

    assert wait_until_empty(tmp_path)
    with embedded.servers(tmp_path) as env:
        assert execute(env["DATABASE_URL"], "SELECT n FROM kept") == [(7,)]


def abandon(server):
    """Forget a running server, as a killed owner does on a system without prctl."""
    server._process.returncode = 0
    server._process = None


def test_left_over_servers_are_ended(tmp_path, client):
    left = [Postgres(tmp_path / "pg", QUICK), Redis(tmp_path / "r", {})]
    for server in left:
        server.start()
        abandon(server)
    client(left[1].url()).set("in memory only", 1)

    again = [Postgres(tmp_path / "pg", QUICK), Redis(tmp_path / "r", {})]
    for server in again:
        server.start()

    assert execute(again[0].url(), "SELECT 1") == [(1,)]
    assert client(again[1].url()).dbsize() == 0
    for server in again:
        server.stop()
    assert wait_until_empty(tmp_path)


def test_postgres_starts_after_it_was_killed(tmp_path):
    server = Postgres(tmp_path / "pg", QUICK)
    server.start()
    execute(server.url(), "CREATE TABLE kept AS SELECT 7 AS n")

    server.kill()
    server.start()

    assert execute(server.url(), "SELECT n FROM kept") == [(7,)]
    server.stop()


def test_stranger_with_the_old_pid_is_left_alone(tmp_path):
    server = Postgres(tmp_path / "pg", QUICK)
    server.start()
    pid_file = tmp_path / "pg" / "postmaster.pid"
    old = pid_file.read_text()
    server.kill()
    stranger = subprocess.Popen(["sleep", "60"])
    pid_file.write_text(old.replace(old.split()[0], str(stranger.pid), 1))

    server.start()

    assert stranger.poll() is None
    server.stop()
    stranger.kill()
    stranger.wait()


def test_long_and_odd_paths(tmp_path, client):
    data_dir = tmp_path / ("long " * 20) / "it's, é 100%+"
    with embedded.servers(data_dir, postgres_config=QUICK) as env:
        assert execute(env["DATABASE_URL"], "SELECT 1") == [(1,)]
        assert client(env["SALE_REDIS_URL"]).ping()
        assert client(env["CACHE_REDIS_URL"]).ping()
        sockets = Path(unquote(env["DATABASE_URL"].partition("?host=")[2]))
        assert sockets.exists()
    assert not sockets.exists()


def test_acknowledged_writes_survive_a_kill(tmp_path, client):
    server = embedded.start_redis(tmp_path, appendonly="yes", appendfsync="always")
    for number in range(100):
        client(server.url()).set("n", number)

    server.kill()
    server.start()

    assert client(server.url()).get("n") == b"99"
    server.stop()


def test_server_that_cannot_start_says_why(tmp_path):
    with pytest.raises(EmbeddedError, match="no-such-option"):
        embedded.start_redis(tmp_path, no_such_option="1")


def test_directory_that_cannot_be_used_is_one_sentence():
    with (
        pytest.raises(EmbeddedError, match="/proc/none"),
        embedded.servers(Path("/proc/none")),
    ):
        pass


def test_reset_removes_only_what_is_ours(tmp_path):
    with embedded.lock(tmp_path):
        (tmp_path / "postgres").mkdir()
        (tmp_path / "secret_key").touch()
        (tmp_path / "notes.txt").touch()

    embedded.reset(tmp_path)

    left = {path.name for path in tmp_path.iterdir()}
    assert left == {embedded.LOCK, "notes.txt"}


def test_reset_refuses_a_directory_that_is_not_ours(tmp_path):
    (tmp_path / "mail").mkdir()

    with pytest.raises(EmbeddedError, match="not a data directory"):
        embedded.reset(tmp_path)

    assert (tmp_path / "mail").exists()


def test_reset_of_nothing_is_fine(tmp_path):
    embedded.reset(tmp_path / "none")


def test_secret_key_is_made_once_for_the_owner_alone(tmp_path):
    first = embedded.local_environment(tmp_path)["SECRET_KEY"]

    assert embedded.local_environment(tmp_path)["SECRET_KEY"] == first
    assert len(first) >= 50
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_addresses_of_a_dead_owner_are_not_trusted(tmp_path):
    dead = {"pid": os.getpid(), "env": {"DATABASE_URL": "postgresql://nowhere"}}
    (tmp_path / embedded.ADDRESSES).write_text(json.dumps(dead))

    with embedded.servers(tmp_path, postgres_config=QUICK) as env:
        assert execute(env["DATABASE_URL"], "SELECT 1") == [(1,)]
