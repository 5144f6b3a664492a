import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from django.core.management.base import CommandError

from shop.management.commands import demo

REPOSITORY = Path(__file__).resolve().parents[2]


def unused_port():
    """A port below those the system gives away, or another could have it meanwhile."""
    for port in range(20_000 + os.getpid() % 10_000, 32_768):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port is in use")


class Demo:
    """A `manage.py demo` in a process of its own, its output in a file."""

    def __init__(self, data_dir, output="output", **env):
        self.port = unused_port()
        self.output = data_dir.with_name(output)
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
        deadline = time.monotonic() + 180
        while words not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def get(self, path):
        with urlopen(f"http://localhost:{self.port}{path}", timeout=60) as answer:
            return answer.status

    def wait_until_ready(self):
        deadline = time.monotonic() + 180
        while True:
            try:
                if self.get("/readyz") == 200:
                    return
            except OSError:
                assert time.monotonic() < deadline, self.said()
                time.sleep(0.2)

    def family(self, words=""):
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if words in command(child)]

    def run(self):
        """Wait for the end of a demo that does not come up: status and words."""
        return self.process.wait(timeout=300), self.said()


def command(process):
    """Its command line; empty when it has ended, even if nobody has taken note."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def still_there(processes, seconds):
    deadline = time.monotonic() + seconds
    while (left := list(filter(None, map(command, processes)))) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.1)
    return left


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


@pytest.fixture(scope="module")
def filled():
    """One data directory for all demos here: only the first start fills the shop."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name:
        yield Path(name) / "data"


@pytest.fixture
def running(filled):
    demo = Demo(filled)
    demo.wait_for("Ctrl-C stops everything")
    yield demo
    if demo.process.poll() is None:
        demo.process.terminate()
        demo.process.wait(timeout=300)


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
class TestRunningDemo:
    def test_serves_and_survives_kills(self, running):
        assert [running.get(path) for path in ("/", "/healthz", "/readyz")] == [200] * 3

        names = {
            "worker-default": "rqworker default",
            "cron": "rqcron",
            "web": "granian",
        }
        for name, words in names.items():
            running.family(words)[0].kill()
            running.wait_for(f"{name} ended by SIGKILL; starting it again")

        running.wait_until_ready()
        assert all(still_there(running.family(words), 0) for words in names.values())

    def test_refuses_a_second_one_on_the_same_data(self, running, filled):
        status, words = Demo(filled, output="second").run()

        assert status == 1
        assert f"is in use by process {running.process.pid}" in words
        assert "Traceback" not in words

    def test_leaves_nothing_when_asked_to_stop(self, running):
        family = running.family()

        running.process.send_signal(signal.SIGINT)

        assert running.process.wait(timeout=300) == 0
        assert still_there(family, seconds=60) == []
        assert running.said().endswith("Stopped.\n")

    def test_leaves_nothing_when_killed_and_starts_again(self, running, filled):
        family = running.family()

        running.process.kill()
        running.process.wait()

        assert still_there(family, seconds=60) == []
        again = Demo(filled)
        again.wait_for("Ctrl-C stops everything")
        assert again.get("/readyz") == 200
        again.process.terminate()
        assert again.process.wait(timeout=300) == 0


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
