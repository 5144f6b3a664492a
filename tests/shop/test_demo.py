import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from django.core.management.base import CommandError

from shop.management.commands import demo

REPOSITORY = Path(__file__).resolve().parents[2]


def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Demo:
    """A `manage.py demo` in a process of its own, its output in a file."""

    def __init__(self, data_dir, **env):
        self.port = unused_port()
        self.output = data_dir.with_name("output")
        env = {"DATA_DIR": str(data_dir), "PORT": str(self.port), **env}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, REPOSITORY / "manage.py", "demo"],
                env={**os.environ, **env},
                stdout=output,
                stderr=output,
            )

    def said(self):
        return self.output.read_text()

    def wait_for(self, words):
        deadline = time.monotonic() + 90
        while words not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def get(self, path):
        with urlopen(f"http://localhost:{self.port}{path}", timeout=10) as answer:
            return answer.status

    def family(self, words=""):
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if words in " ".join(child.cmdline())]

    def run(self):
        """Wait for the end of a demo that does not come up: status and words."""
        return self.process.wait(timeout=60), self.said()


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def running(data_dir):
    demo = Demo(data_dir)
    demo.wait_for("Ctrl-C stops everything")
    yield demo
    demo.process.terminate()
    demo.process.wait(timeout=60)


@pytest.mark.slow
def test_demo_serves_survives_kills_and_leaves_nothing(running, data_dir):
    assert [running.get(path) for path in ("/", "/healthz", "/readyz")] == [200] * 3

    for words in ("rqworker default", "rqcron", "granian"):
        running.family(words)[0].kill()
        running.wait_for("SIGKILL; starting it again")
    time.sleep(2)
    wait_until_ready(running)
    assert running.family("rqworker default")
    assert running.family("rqcron")

    family = running.family()
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(timeout=60) == 0
    assert not [one for one in family if one.is_running()]
    assert running.said().endswith("Stopped.\n")


def wait_until_ready(demo):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if demo.get("/readyz") == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(demo.said())


@pytest.mark.slow
def test_second_demo_on_the_same_data_is_refused(running, data_dir):
    status, words = Demo(data_dir).run()

    assert status == 1
    assert f"is in use by process {running.process.pid}" in words
    assert "Traceback" not in words


@pytest.mark.slow
def test_killed_demo_leaves_nothing_and_starts_again(data_dir):
    first = Demo(data_dir)
    first.wait_for("Ctrl-C stops everything")
    family = first.family()

    first.process.kill()
    first.process.wait()

    _, alive = psutil.wait_procs(family, timeout=20)
    assert [one.cmdline() for one in alive] == []
    second = Demo(data_dir)
    second.wait_for("Ctrl-C stops everything")
    assert second.get("/readyz") == 200
    second.process.terminate()
    assert second.process.wait(timeout=60) == 0


def test_used_port_is_told_before_anything_starts(data_dir):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        status, words = Demo(data_dir, PORT=port).run()

    assert status == 1
    assert words.startswith(f"CommandError: Port {port} cannot be used")
    assert not data_dir.exists()


@pytest.mark.parametrize("text", ["x", "0", "65536", "-1", "80.5", "²"])
def test_port_must_be_a_port(text):
    with pytest.raises(CommandError, match="PORT must be a number from 1 to 65535"):
        demo.free_port(text)
