"""Threads that use the database: each closes its connection, errors come out."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.db import connection


def _closing(function):
    def call(*arguments):
        try:
            return function(*arguments)
        finally:
            connection.close()

    return call


def run_at_once(function, arguments):
    """What `function` returns for each of the arguments, each in its own thread."""
    arguments = list(arguments)
    with ThreadPoolExecutor(max_workers=len(arguments)) as pool:
        return list(pool.map(_closing(function), arguments))


@contextmanager
def in_background(*functions):
    """Run functions beside the block; leaving it waits for them and their errors."""
    with ThreadPoolExecutor(max_workers=len(functions)) as pool:
        futures = [pool.submit(_closing(function)) for function in functions]
        yield futures
    for future in futures:
        future.result()


def wait_for_blocked(number, seconds=60):
    """Return when `number` connections of this database wait for a lock."""
    deadline = time.monotonic() + seconds
    while _blocked() < number:
        assert time.monotonic() < deadline, f"{_blocked()} blocked, not {number}"
        time.sleep(0.005)


def _blocked():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND datname = current_database()"
        )
        return cursor.fetchone()[0]
