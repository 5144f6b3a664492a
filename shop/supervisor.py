"""Keeps the processes of the demo running, each with a log file of its own."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from shop.daemons import EmbeddedError, Report
from shop.processes import last_lines, spawn

FIRST_PAUSE = 0.5  # seconds before a start again; doubles each time
LONGEST_PAUSE = 30.0
STEADY = 60.0  # a process that lived so long is started again without delay
PATIENCE = 3.0  # for a clean end; a job that is killed is safe to repeat


class Process:
    """One process of a Supervisor, started again whenever it ends."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path) -> None:
        self.name = name
        self.command = command
        self.log = log
        self._pause = FIRST_PAUSE
        self.start()

    def start(self) -> None:
        self.due_at: float | None = None
        self._started_at = time.monotonic()
        self._popen: subprocess.Popen[bytes] = spawn(self.command, self.log)

    def ended(self) -> str:
        """How the process ended, for people; empty while it runs."""
        status = self._popen.poll()
        if status is None:
            return ""
        if status < 0:
            return f"ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def plan_start(self) -> None:
        """Set when to start again, later each time in a row."""
        self.kill_rest()
        now = time.monotonic()
        if now - self._started_at > STEADY:
            self._pause = FIRST_PAUSE
        self.due_at = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def terminate(self) -> None:
        if self._popen.poll() is None:
            self._popen.terminate()

    def wait(self, deadline: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(max(deadline - time.monotonic(), 0))
        self.kill_rest()
        self._popen.wait()

    def kill_rest(self) -> None:
        """End what the process started and left behind, such as a scheduler."""
        # By session: RQ puts the process of a job into a group of its own.
        for pid in psutil.pids():
            with suppress(ProcessLookupError, PermissionError):
                if os.getsid(pid) == self._popen.pid:
                    os.kill(pid, signal.SIGKILL)


class Supervisor:
    """A set of processes that live until `stop`."""

    def __init__(self, log_dir: Path, report: Report) -> None:
        self._log_dir = log_dir
        self._report = report
        self._processes: list[Process] = []

    def start(self, name: str, command: Sequence[str | Path]) -> None:
        self._processes.append(Process(name, command, self._log_dir / f"{name}.log"))

    def check(self) -> None:
        """Raise EmbeddedError if a process has ended: it never came up."""
        for process in self._processes:
            if how := process.ended():
                raise EmbeddedError(
                    f"{process.name} {how}; the end of {process.log}:\n"
                    f"{last_lines(process.log)}"
                )

    def watch(self) -> None:
        """Start again what has ended; call this about once a second."""
        for process in self._processes:
            if process.due_at is not None:
                if time.monotonic() >= process.due_at:
                    process.start()
            elif how := process.ended():
                self._report(f"{process.name} {how}; starting it again")
                process.plan_start()

    def stop(self) -> None:
        """End all processes and what they started, by force after a while."""
        deadline = time.monotonic() + PATIENCE
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(deadline)
