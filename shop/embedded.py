"""PostgreSQL and Redis from wheels: no installation, no ports, data in one directory.

`with servers(data_dir) as env:` gives the addresses as environment variables. One
process at a time owns a directory and runs its servers; others use them. The servers
end with their owner, also when it is killed. Why not the wheels' own Python wrappers:
docs/decisions/0001-embedded-servers.md.
"""

import fcntl
import json
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

import psutil

from shop.daemons import EmbeddedError, Postgres, Redis, Report, Server, nothing

LOCK = "holdfast.lock"  # held by the owner; also marks a directory as ours
USERS = "users.lock"  # shared by the processes that use another's servers
ADDRESSES = "servers.json"
CONTENTS = (
    "postgres",
    "postgres.new",
    "sale-redis",
    "queue-redis",
    "log",
    "mail",
    "media",
    "static",
    "secret_key",
    ADDRESSES,
)
SALE_CONFIG = {"appendonly": "yes", "appendfsync": "always"}
QUEUE_CONFIG = {"appendonly": "yes", "appendfsync": "everysec"}


class InUse(EmbeddedError):
    """Another process owns the directory."""


class Servers:
    """PostgreSQL, the sale Redis and the queue Redis of one data directory."""

    def __init__(
        self,
        data_dir: Path,
        report: Report = nothing,
        postgres_config: Mapping[str, str] | None = None,
    ) -> None:
        log = data_dir / "log"
        self.postgres = Postgres(
            data_dir / "postgres",
            postgres_config or {},
            log / "postgres.log",
            report=report,
        )
        self.sale_redis = Redis(
            data_dir / "sale-redis", SALE_CONFIG, log / "sale-redis.log"
        )
        self.queue_redis = Redis(
            data_dir / "queue-redis", QUEUE_CONFIG, log / "queue-redis.log"
        )

    def __iter__(self) -> Iterator[Server]:
        return iter((self.postgres, self.sale_redis, self.queue_redis))

    @property
    def env(self) -> dict[str, str]:
        """Where they are, in the names that the settings read."""
        return {
            "DATABASE_URL": self.postgres.url(),
            "SALE_REDIS_URL": self.sale_redis.url(),
            "QUEUE_REDIS_URL": self.queue_redis.url(),
            "CACHE_REDIS_URL": self.queue_redis.url(database=1),
        }

    def start(self) -> list[str]:
        """Start what does not run; return the names of what this started."""
        stopped = [server for server in self if not server.is_running()]
        for server in stopped:
            server.start()
        return [server.directory.name for server in stopped]

    def stop(self) -> None:
        """End what runs, the database last."""
        for server in reversed(list(self)):
            server.stop()


def start_redis(directory: Path, **config: str) -> Redis:
    """A running Redis of the caller's own; the caller stops or kills it."""
    server = Redis(
        directory, {key.replace("_", "-"): value for key, value in config.items()}
    )
    server.start()
    return server


@contextmanager
def servers(
    data_dir: Path,
    *,
    report: Report = nothing,
    postgres_config: Mapping[str, str] | None = None,
) -> Iterator[dict[str, str]]:
    """Addresses of running servers for `data_dir`, as environment variables.

    Uses those of the process that owns the directory, or owns it and runs them for
    the time of the block; then other users are waited for before they stop.
    """
    data_dir = _make_directory(data_dir)
    with ExitStack() as stack:
        users = stack.enter_context((data_dir / USERS).open("a"))
        yield _own_or_use(stack, data_dir, users, report, postgres_config)


def _own_or_use(
    stack: ExitStack,
    data_dir: Path,
    users: TextIO,
    report: Report,
    postgres_config: Mapping[str, str] | None,
) -> dict[str, str]:
    deadline = time.monotonic() + 90
    while True:
        try:
            running = stack.enter_context(
                owned(data_dir, report=report, postgres_config=postgres_config)
            )
        except InUse:
            if time.monotonic() > deadline:
                raise
        else:
            stack.callback(_wait_for_users, data_dir, users, report)
            return running.env
        fcntl.flock(users, fcntl.LOCK_SH)
        if env := _read_addresses(data_dir):
            return env
        fcntl.flock(users, fcntl.LOCK_UN)
        time.sleep(0.1)


@contextmanager
def owned(
    data_dir: Path,
    *,
    report: Report = nothing,
    postgres_config: Mapping[str, str] | None = None,
) -> Iterator[Servers]:
    """The servers of `data_dir`, run by this process for the time of the block.

    Raises InUse at once when another process owns the directory.
    """
    data_dir = _make_directory(data_dir)
    with ExitStack() as stack:
        stack.enter_context(lock(data_dir))
        stack.enter_context(_sigterm_as_exit())
        addresses = data_dir / ADDRESSES
        addresses.unlink(missing_ok=True)
        try:
            running = Servers(data_dir, report, postgres_config)
            stack.enter_context(_stopping(running))
            running.start()
        except OSError as error:
            raise _unusable(error) from error
        written = addresses.with_suffix(".new")
        written.write_text(json.dumps({"pid": os.getpid(), "env": running.env}))
        written.replace(addresses)
        stack.callback(addresses.unlink, missing_ok=True)
        yield running


def reset(data_dir: Path) -> None:
    """Remove what Holdfast keeps in `data_dir`, and nothing else.

    Raises InUse while a process owns it, EmbeddedError if it is not ours.
    """
    there = [data_dir / name for name in CONTENTS if (data_dir / name).exists()]
    if not there:
        return
    if not (data_dir / LOCK).exists():
        raise EmbeddedError(
            f"{data_dir} is not a data directory of Holdfast; nothing was removed."
        )
    with lock(data_dir):
        for path in there:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def local_environment(data_dir: Path) -> dict[str, str]:
    """Settings that fit the embedded servers: this machine only, no HTTPS.

    The secret key is made once and kept in the directory, readable by its owner.
    """
    data_dir = _make_directory(data_dir)
    key_file = data_dir / "secret_key"
    if not key_file.exists():
        new = data_dir / f"secret_key.{os.getpid()}"
        with open(os.open(new, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        with suppress(FileExistsError):  # another process was first
            os.link(new, key_file)
        new.unlink()
    return {
        "DATA_DIR": str(data_dir),
        "SECRET_KEY": key_file.read_text().strip(),
        "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
        "EMAIL_URL": f"filemail:///{quote(str(data_dir / 'mail'))}",
        "SHOP_LOCAL": "on",
        "SHOP_HTTPS": "off",
        "SHOP_TEST_GATEWAY": "on",
    }


def _make_directory(data_dir: Path) -> Path:
    data_dir = data_dir.resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / LOCK).touch()
    except OSError as error:
        raise _unusable(error) from None
    return data_dir


def _unusable(error: OSError) -> EmbeddedError:
    return EmbeddedError(
        f"The data directory cannot be used: {error.strerror}: {error.filename}"
    )


@contextmanager
def lock(data_dir: Path) -> Iterator[None]:
    """Own the directory for the time of the block, or raise InUse at once."""
    data_dir = _make_directory(data_dir)
    with (data_dir / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"{data_dir} is in use{_owner(data_dir)}.") from None
        yield


def _owner(data_dir: Path) -> str:
    with suppress(OSError, ValueError):
        pid = json.loads((data_dir / ADDRESSES).read_text())["pid"]
        return f" by process {pid}"
    return ""


def _read_addresses(data_dir: Path) -> dict[str, str] | None:
    """What the owner wrote; None before it has, or if it is gone."""
    with suppress(OSError, ValueError, InUse):
        written = json.loads((data_dir / ADDRESSES).read_text())
        if psutil.pid_exists(written["pid"]):
            try:
                with lock(data_dir):
                    return None
            except InUse:
                return dict(written["env"])
    return None


def _wait_for_users(data_dir: Path, users: TextIO, report: Report) -> None:
    (data_dir / ADDRESSES).unlink(missing_ok=True)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        report("waiting for other processes that use these servers ...")
        fcntl.flock(users, fcntl.LOCK_EX)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """SIGTERM unwinds this block, unless the program handles it itself."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _stopping(running: Servers) -> Iterator[None]:
    try:
        yield
    finally:
        with unhurried():
            running.stop()


@contextmanager
def unhurried() -> Iterator[None]:
    """A second Ctrl-C or SIGTERM does not interrupt this block."""
    numbers = (signal.SIGINT, signal.SIGTERM) if _in_main_thread() else ()
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
