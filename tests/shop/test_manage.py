import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NOWHERE = "redis://localhost:1/0"


def manage(*arguments, **env):
    """Run manage.py in a process of its own; `None` removes a variable."""
    environment = {**os.environ, **env}
    for name in [name for name, value in environment.items() if value is None]:
        del environment[name]
    return subprocess.run(
        [sys.executable, REPOSITORY / "manage.py", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,  # a busy machine is no reason to fail
    )


@pytest.fixture
def local(tmp_path):
    """An environment that says nothing but where the data goes."""
    names = ("DATABASE_URL", "SALE_REDIS_URL", "QUEUE_REDIS_URL", "CACHE_REDIS_URL")
    empty = dict.fromkeys((*names, "DEBUG", "SECRET_KEY", "ALLOWED_HOSTS"))
    return {**empty, "DATA_DIR": str(tmp_path / "data")}


@pytest.mark.parametrize(
    ("arguments", "env", "status", "words"),
    [
        (
            ["migrate"],
            {"DATABASE_URL": "postgresql://localhost:1/x"},
            1,
            "PostgreSQL cannot be used; check DATABASE_URL: ",
        ),
        (
            ["audit_stock"],
            {"DATABASE_URL": "postgresql://localhost:1/x"},
            2,
            "CommandError: Nothing could be checked: ",
        ),
        (
            ["rqstats"],
            {"QUEUE_REDIS_URL": NOWHERE},
            1,
            "Redis cannot be used; check QUEUE_REDIS_URL: ",
        ),
        (["migrate"], {"SECRET_KEY": None}, 2, "SECRET_KEY is not set"),
        (["migrate"], {"DEBUG": "perhaps"}, 2, "DEBUG must be on or off"),
    ],
)
def test_wrong_environment_is_one_sentence(arguments, env, status, words):
    done = manage(*arguments, **env)

    assert done.returncode == status
    assert done.stderr.startswith(words)
    assert done.stderr.count("\n") == 1


def test_missing_tables_say_what_to_run():
    url = os.environ["DATABASE_URL"].replace("/holdfast", "/postgres")

    done = manage("changepassword", "nobody@example.com", DATABASE_URL=url)

    assert done.returncode == 1
    assert done.stderr.startswith("Run `manage.py migrate` first: ")


def test_command_in_a_fresh_clone_gets_servers_tables_and_local_defaults(local):
    code = """
from django.conf import settings
from django.contrib.auth.models import User
print(User.objects.count(), settings.LOCAL, settings.SHOP_STAFF_TWO_FACTOR)
"""

    done = manage("shell", "--verbosity", "0", "--command", code, **local)

    assert done.stdout == "0 True False\n"
    assert "creating the tables" in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("arguments", [["help"], ["--version"], ["migrate", "-h"]])
def test_help_starts_no_servers(local, tmp_path, arguments):
    assert manage(*arguments, **local).returncode == 0

    assert not (tmp_path / "data").exists()


def test_a_reader_that_has_read_enough_is_no_failure():
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, REPOSITORY / "manage.py", "help", "--commands"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=300,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (141, b"")
