"""A process that is killed at the n-th thing it does to PostgreSQL or Redis."""

import os
import signal
import traceback
from contextlib import ExitStack
from unittest import mock

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from redis.connection import AbstractConnection

DONE, FAILED = 0, 1
WRITES = ("INSERT", "UPDATE", "DELETE")


class Clock:
    """Counts what the process does, and kills it when the time has come."""

    def __init__(self, dies_at):
        self.dies_at = dies_at
        self.now = 0

    def tick(self):
        self.now += 1
        if self.now == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function):
        def call(*arguments, **named):
            self.tick()
            answer = function(*arguments, **named)
            self.tick()
            return answer

        return call


def dies_at(number, operation):
    """Run `operation` in a process that is killed at its n-th step.

    A step is before each write, and before and after each commit and each exchange with
    a Redis: between these, a crash leaves the same behind. Returns whether it was
    killed; False means that it came to its end before.
    """
    pid = os.fork()
    if pid == 0:
        _child(number, operation)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == DONE, "the operation failed; see its output"
    return False


def _child(number, operation):
    clock = Clock(number)
    try:
        connection.connection = None  # the parent's; psycopg2 leaves it open here
        connection.ensure_connection()

        def statement(execute, sql, *arguments):
            if sql.lstrip().startswith(WRITES):
                clock.tick()
            return execute(sql, *arguments)

        with ExitStack() as stack:
            stack.enter_context(connection.execute_wrapper(statement))
            for owner, name in (
                (BaseDatabaseWrapper, "_commit"),
                (AbstractConnection, "send_packed_command"),
                (AbstractConnection, "read_response"),
            ):
                patched = _method(clock, getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, patched))
            operation()
    except BaseException:
        traceback.print_exc()
        os._exit(FAILED)
    os._exit(DONE)


def _method(clock, function):
    def call(self, *arguments, **named):
        return clock.around(function)(self, *arguments, **named)

    return call
