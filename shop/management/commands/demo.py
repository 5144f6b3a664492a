"""Everything at once on this machine: servers, shop, workers and schedule."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from shop import embedded
from shop.daemons import EmbeddedError
from shop.processes import last_lines, spawn
from shop.supervisor import Supervisor

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
READY_WITHIN = 120  # seconds
MOST_WEB_PROCESSES = 8  # with 4 threads each; PostgreSQL has 100 connections
READY = """
Holdfast is ready.

  Shop                {url}/
  Merchant dashboard  {url}/admin/
  API documentation   {url}/api/docs
  Health              {url}/readyz

  Merchant            merchant@demo.test   password holdfast-demo
  Shopper             shopper@demo.test    password holdfast-demo

  Mail it would send  {data_dir}/mail
  Logs                {data_dir}/log

Ctrl-C stops everything; the data stays."""


class Command(BaseCommand):
    """The demo; PORT, DATA_DIR and RESET=1 come from the environment."""

    help = "Run PostgreSQL, Redis, the shop with demo data, workers and schedule."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--with-parent",
            action="store_true",
            help="Stop when the process that started this one ends (used by make).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.parent = os.getppid() if options["with_parent"] else None
        data_dir = settings.DATA_DIR
        port = free_port(os.environ.get("PORT", "").strip() or "8000")
        with stopped_by_signals():
            try:
                if os.environ.get("RESET", "").lower() in settings.TRUE:
                    self.say(f"Removing the data in {data_dir} ...")
                    embedded.reset(data_dir)
                self.say(f"Starting PostgreSQL and two Redis servers in {data_dir} ...")
                with embedded.owned(data_dir, report=self.say) as servers:
                    self.run(data_dir, port, servers)
            except embedded.InUse as error:
                raise CommandError(
                    f"{error} If that is a demo, stop it; or set DATA_DIR to another "
                    "directory."
                ) from None
            except EmbeddedError as error:
                raise CommandError(str(error)) from None
            except Stopped:
                self.say("Stopped.")

    def run(self, data_dir: Path, port: int, servers: embedded.Servers) -> None:
        """Prepare the database, start the processes, stay until a signal."""
        os.environ.update(environment(data_dir, port), **servers.env)
        for log in (data_dir / "log").glob("*.log"):
            os.truncate(log, 0)
        self.prepare(data_dir / "log" / "setup.log")

        supervisor = Supervisor(data_dir / "log", self.say)
        try:
            self.say("Starting the web server, three workers and the schedule ...")
            for name, command in processes(port).items():
                supervisor.start(name, command)
            self.wait_until_ready(port, supervisor)
            self.say(READY.format(url=f"http://localhost:{port}", data_dir=data_dir))
            while self.parent in (None, os.getppid()):
                time.sleep(0.5)
                supervisor.watch()
                for name in servers.start():
                    self.say(f"{name} had ended; it runs again")
        except Stopped:
            self.say("\nStopping ...")
            raise
        finally:
            with embedded.unhurried():
                supervisor.stop()

    def prepare(self, log: Path) -> None:
        """Tables, demo data and static files, side by side."""
        self.say("Updating the tables, the demo shop and the static files ...")
        steps = {"prepare_demo": spawn([*MANAGE, "prepare_demo"], log)}
        if not static_files_are_current():
            command = [*MANAGE, "collectstatic", "--no-input", "--verbosity", "0"]
            steps["collectstatic"] = spawn(command, log)
        for name, step in steps.items():
            if step.wait() != 0:
                raise EmbeddedError(f"{name} failed:\n{last_lines(log)}")

    def wait_until_ready(self, port: int, supervisor: Supervisor) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            supervisor.check()
            try:
                with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (URLError, OSError):
                time.sleep(0.1)
        raise EmbeddedError(f"The web server does not answer on port {port}.")

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def free_port(text: str) -> int:
    """The port to listen on, or CommandError with the reason why it cannot be."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise CommandError(f"PORT must be a number from 1 to 65535, not {text!r}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError as error:
            raise CommandError(
                f"Port {text} cannot be used ({error.strerror}); choose another: "
                "PORT=8080 make demo"
            ) from None
    return int(text)


def static_files_are_current() -> bool:
    """Whether nothing has changed since they were collected, as far as dates tell."""
    collected = settings.STATIC_ROOT / "staticfiles.json"
    if not collected.exists():
        return False
    own = [path for root in settings.STATICFILES_DIRS for path in root.rglob("*")]
    sources = [*settings.STATICFILES_DIRS, *own, settings.BASE_DIR / "requirements.txt"]
    since = collected.stat().st_mtime
    return all(path.stat().st_mtime < since for path in sources if path.exists())


def environment(data_dir: Path, port: int) -> dict[str, str]:
    """What the processes of the demo read: like production, but on this machine."""
    (data_dir / "mail").mkdir(exist_ok=True)
    return embedded.local_environment(data_dir) | {
        "DEBUG": "off",
        "SHOP_DEMO": "on",
        "SITE_URL": f"http://localhost:{port}",
    }


def processes(port: int) -> dict[str, list[str]]:
    """The commands of the demo, the same as in docker-compose.yml."""
    web = [sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws"]
    workers = min(os.cpu_count() or 1, MOST_WEB_PROCESSES)
    web += ["--workers", str(workers), "--blocking-threads", "4"]
    # A worker that starts when the signal comes may miss it.
    web += ["--workers-kill-timeout", "5"]
    web += ["--respawn-failed-workers", "--host", "127.0.0.1", "--port", str(port)]
    quick = ["--skip-checks", "--verbosity", "0"]
    brief = ["--worker-ttl", "60", *quick]  # one that was killed is soon not counted
    return {
        "web": [*web, "shop.wsgi:application"],
        "worker-flash": [*MANAGE, "rqworker", "flash", *brief],
        "worker-default": [*MANAGE, "rqworker", "default", "--with-scheduler", *brief],
        "worker-imports": [*MANAGE, "rqworker", "imports", *brief],
        "cron": [*MANAGE, "rqcron", "sales.cron", *quick],
    }


class Stopped(BaseException):
    """Someone asked the demo to end, by Ctrl-C or a signal."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise Stopped, even where a shell ignored them."""

    def stop(_number: int, _frame: object) -> None:
        raise Stopped

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
