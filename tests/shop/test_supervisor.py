import subprocess
import sys
import time

import psutil
import pytest

from shop.daemons import EmbeddedError
from shop.supervisor import Process, Supervisor

SLEEP = ["sleep", "60"]
WITH_CHILD = ["sh", "-c", "sleep 60 & echo $!; wait"]


@pytest.fixture
def lines():
    return []


@pytest.fixture
def supervisor(tmp_path, lines):
    supervisor = Supervisor(tmp_path, lines.append)
    yield supervisor
    supervisor.stop()


def has_ended(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def watch_until(supervisor, condition):
    def look():
        supervisor.watch()
        return condition()

    wait_until(look)


def said(log):
    return log.read_text() if log.exists() else ""


def test_process_that_ends_is_started_again_and_reported(supervisor, lines, tmp_path):
    log = tmp_path / "short.log"
    supervisor.start("short", ["sh", "-c", "echo started; exit 3"])

    watch_until(supervisor, lambda: said(log).count("started\n") > 1)

    assert lines[0] == "short ended with status 3; starting it again"


def test_pauses_grow_with_each_end_in_a_row(tmp_path):
    process = Process("short", ["true"], tmp_path / "log")
    process._popen.wait()

    pauses = []
    for _ in range(3):
        before = time.monotonic()
        process.plan_start()
        pauses.append((process.due_at - time.monotonic(), process.due_at - before))

    for pause, (least, most) in zip((0.5, 1, 2), pauses, strict=True):
        assert least <= pause <= most


def test_killed_process_takes_its_children_along(supervisor, lines, tmp_path):
    supervisor.start("family", WITH_CHILD)
    log = tmp_path / "family.log"
    wait_until(lambda: said(log))
    child = psutil.Process(int(said(log)))

    child.parent().kill()
    watch_until(supervisor, lambda: lines)

    wait_until(lambda: has_ended(child))
    assert lines == ["family ended by SIGKILL; starting it again"]


def test_check_shows_the_end_of_the_log(supervisor):
    supervisor.start("broken", ["sh", "-c", "echo no such module; exit 1"])
    supervisor._processes[0]._popen.wait()

    with pytest.raises(EmbeddedError, match=r"broken ended with status 1.*\n.*such"):
        supervisor.check()


def test_stop_ends_even_the_stubborn(tmp_path, monkeypatch):
    monkeypatch.setattr("shop.supervisor.PATIENCE", 0.3)
    supervisor = Supervisor(tmp_path, lambda line: None)
    supervisor.start("stubborn", [sys.executable, "-c", STUBBORN])
    supervisor.start("tame", SLEEP)
    wait_until(lambda: said(tmp_path / "stubborn.log"))

    supervisor.stop()

    ended = [process.ended() for process in supervisor._processes]
    assert ended == ["ended by SIGKILL", "ended by SIGTERM"]


STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("stubborn", flush=True)
time.sleep(60)
"""


def test_processes_end_with_the_supervisor_when_it_is_killed(tmp_path):
    program = f"""
import pathlib, time
from shop.supervisor import Supervisor
supervisor = Supervisor(pathlib.Path({str(tmp_path)!r}), print)
supervisor.start("one", ["sh", "-c", "echo $$; sleep 60"])
time.sleep(60)
"""
    owner = subprocess.Popen([sys.executable, "-c", program])
    log = tmp_path / "one.log"
    wait_until(lambda: said(log))
    process = psutil.Process(int(said(log)))

    owner.kill()
    owner.wait()

    wait_until(lambda: has_ended(process))
