"""Processes of the shop as production runs them, on the servers of the test."""

import os
import subprocess
import sys
from contextlib import contextmanager
from urllib.parse import urlsplit

import psutil
from django.conf import settings
from django.db import connection

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]


def environment():
    """The settings of this test run, with its own database and its own Redis."""
    address = urlsplit(os.environ["DATABASE_URL"])
    address = address._replace(path=f"/{connection.settings_dict['NAME']}")
    return {
        **os.environ,
        "DATABASE_URL": address.geturl(),
        "SALE_REDIS_URL": settings.SALE_REDIS_URL,
        "SALE_REDIS_TIMEOUT_MS": str(settings.SALE_REDIS_TIMEOUT_MS),
        "SHOP_FLASH_HOLD_SECONDS": str(settings.SHOP_FLASH_HOLD_SECONDS),
    }


class Process:
    """One `manage.py` command, to be killed and started again."""

    def __init__(self, log, *command):
        self.log, self.command = log, command
        self.start()

    def start(self):
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*MANAGE, *self.command],
                env=environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def horse(self):
        """The process in which a worker runs its job now, or None."""
        try:
            children = psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return None
        return children[0] if children else None

    def kill(self):
        """End it and its children as a crash of the machine would."""
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        self.process.kill()
        self.process.wait(10)
        for child in family:
            if child.is_running():
                child.kill()
        psutil.wait_procs(family, 10)


@contextmanager
def running(tmp_path, **commands):
    """Processes by name for the time of the block; their output is under `tmp_path`."""
    started = {}
    try:
        for name, command in commands.items():
            started[name] = Process(tmp_path / f"{name}.log", *command)
        yield started
    finally:
        for process in started.values():
            process.kill()
