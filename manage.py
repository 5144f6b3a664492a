#!/usr/bin/env python
"""Django's commands; without DATABASE_URL they run on the embedded servers.

Those of a running `manage.py demo` are used if there are any; else they run for the
time of the command. With DATABASE_URL set, or DEBUG=off, this is plain Django.
"""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent
NEED_NO_SERVER = {
    "check",
    "collectstatic",
    "compilemessages",
    "demo",  # runs the servers itself
    "diffsettings",
    "findstatic",
    "help",
    "makemessages",
    "sendtestemail",
    "startapp",
    "startproject",
    "version",
}
NEED_NO_TABLES = {
    "dbshell",
    "makemigrations",
    "migrate",
    "showmigrations",
    "sqlmigrate",
    "test",
}
REDIS_URLS = ("SALE_REDIS_URL", "QUEUE_REDIS_URL", "CACHE_REDIS_URL")


def main(argv: list[str]) -> None:
    """Run one command; failures that have a known cure end in one sentence."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed here: run `make demo`, then use .venv.")
    try:
        with ExitStack() as stack:
            if argv[1:2] == ["demo"]:  # brings its own servers and settings
                os.environ.pop("DATABASE_URL", None)
                os.environ.pop("DEBUG", None)
            if is_local() and needs_servers(argv):
                use_embedded_servers(stack, argv[1])
            execute_from_command_line(argv)
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # who reads our lines has read enough, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        status, sentence = explain(error)
        if not sentence or "--traceback" in argv:
            raise
        print(sentence, file=sys.stderr)  # noqa: T201
        sys.exit(status)


def is_local() -> bool:
    """True unless the environment names a database or says this is production."""
    debug = os.environ.get("DEBUG", "").strip().lower()
    is_production = debug in {"0", "false", "no", "off"}
    return not os.environ.get("DATABASE_URL", "").strip() and not is_production


def needs_servers(argv: list[str]) -> bool:
    return (
        len(argv) > 1
        and argv[1] not in NEED_NO_SERVER
        and not argv[1].startswith("-")
        and not {"-h", "--help", "--version"} & set(argv)
    )


def use_embedded_servers(stack: ExitStack, command: str) -> None:
    """Point the environment at the embedded servers, with tables in the database."""
    from shop import embedded

    if command == "runserver":
        os.environ.setdefault("DEBUG", "on")
    data_dir = Path(os.environ.get("DATA_DIR", "").strip() or BASE_DIR / "var")
    env = stack.enter_context(embedded.servers(data_dir, report=say))
    for name, value in {**embedded.local_environment(data_dir), **env}.items():
        os.environ.setdefault(name, value)
    if command not in NEED_NO_TABLES and not has_tables(env["DATABASE_URL"]):
        import django
        from django.core.management import call_command

        say(f"creating the tables of a new database in {data_dir}")
        django.setup()
        call_command("migrate", verbosity=0)


def has_tables(database_url: str) -> bool:
    import psycopg2

    try:
        connection = psycopg2.connect(database_url)
    except psycopg2.OperationalError:
        return True  # the command will say that nothing answers
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
            row = cursor.fetchone()
            return bool(row and row[0])
    finally:
        connection.close()


def explain(error: Exception) -> tuple[int, str]:
    """Exit status and a sentence for what an operator can put right, else no text."""
    import redis.exceptions
    from django.core.exceptions import ImproperlyConfigured
    from django.db import OperationalError, ProgrammingError

    from shop.daemons import EmbeddedError

    first_line = str(error).strip().split("\n")[0]
    if isinstance(error, ImproperlyConfigured):
        return 2, str(error)
    if isinstance(error, EmbeddedError):
        return 1, str(error)
    if isinstance(error, OperationalError | ProgrammingError):
        code = getattr(error.__cause__, "pgcode", None)
        if code is None:
            return 1, f"PostgreSQL cannot be used; check DATABASE_URL: {first_line}"
        if code in {"42P01", "42703"}:  # no such table, no such column
            return 1, f"Run `manage.py migrate` first: {first_line}"
    if isinstance(error, redis.exceptions.ConnectionError):
        return 1, f"Redis cannot be used; check {redis_variables(first_line)}: " + (
            first_line
        )
    return 1, ""


def redis_variables(message: str) -> str:
    """The variables whose address stands in the message, or all of them."""
    from urllib.parse import unquote, urlparse

    named = []
    for name in REDIS_URLS:
        url = urlparse(os.environ.get(name, ""))
        address = url.netloc.rpartition("@")[2] or unquote(url.path)
        if address and address in message:
            named.append(name)
    return " and ".join(named or REDIS_URLS)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv)
