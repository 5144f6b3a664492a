"""Processes that write into a log, and end when the one that started them does."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1


def _follow(parent: int, end_signal: int) -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, end_signal)
        if os.getppid() != parent:  # it died before the line above
            os.kill(os.getpid(), end_signal)


def spawn(
    command: Sequence[str | Path],
    log: Path,
    *,
    end_signal: int = signal.SIGTERM,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output added to `log`.

    Ctrl-C in our terminal does not reach it. On Linux the kernel sends it
    `end_signal` when the calling thread ends, be it by SIGKILL.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - the callers name fixed programs
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(_follow, os.getpid(), end_signal),
            **options,
        )


def last_lines(log: Path, start: int = 0) -> str:
    """The last eight lines of a log from `start` on, indented; nothing if none."""
    with suppress(OSError):
        lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-8:])
    return ""
