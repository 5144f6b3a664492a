"""This thread's connection to the sale Redis, and what its failures mean."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from sales.counters.replies import NotLoaded, Unreachable, Unsure

_local = threading.local()


def client() -> redis.Redis:
    """This thread's own connection to the sale Redis; it never retries by itself."""
    seconds = getattr(_local, "patience", None) or settings.SALE_REDIS_TIMEOUT_MS / 1000
    owner = (os.getpid(), settings.SALE_REDIS_URL, seconds)
    before = getattr(_local, "owner", None)
    if before != owner:
        if before and before[0] == owner[0]:  # after a fork it is the parent's
            disconnect()
        options: dict[str, Any] = {
            "decode_responses": True,
            "encoding_errors": "backslashreplace",  # a poison event is still readable
            "socket_timeout": seconds,
            "socket_connect_timeout": seconds,
            "retry": Retry(NoBackoff(), 0),
        }
        if settings.SALE_REDIS_CLUSTER:
            _local.client = redis.RedisCluster.from_url(
                settings.SALE_REDIS_URL, **options
            )
        else:
            _local.client = redis.Redis.from_url(
                settings.SALE_REDIS_URL, single_connection_client=True, **options
            )
        _local.owner = owner
    return _local.client  # type: ignore[no-any-return]


def disconnect() -> None:
    """Forget this thread's connection; the next call makes a new one."""
    stored = getattr(_local, "client", None)
    _local.owner = None
    if stored is not None:
        stored.close()


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """A longer time-out for maintenance calls of this thread: recovery, audit."""
    stored = getattr(_local, "patience", None)
    _local.patience = seconds
    try:
        yield
    finally:
        _local.patience = stored


@contextmanager
def translated() -> Iterator[None]:
    """Turn redis-py's errors into ours, and drop a connection that failed.

    An error that Redis answers has changed nothing: a script writes its event first,
    and if that is refused (a wrong type, a number that is taken, no memory), it ends.
    """
    try:
        yield
    except NoScriptError as error:
        raise NotLoaded("the node is not verified") from error
    except (BusyLoadingError, ResponseError) as error:
        raise NotLoaded(f"Redis refuses: {error}") from error
    except (RedisError, RedisClusterException) as error:
        disconnect()
        raise Unsure(str(error)) from error


def ready() -> redis.Redis:
    """A client whose connection stands, so that a failure to connect is no doubt."""
    try:
        connected = client()
        if not settings.SALE_REDIS_CLUSTER:
            connected.connection.connect()  # type: ignore[union-attr]
    except (RedisError, RedisClusterException) as error:
        disconnect()
        raise Unreachable(f"the sale Redis cannot be reached: {error}") from error
    return connected
