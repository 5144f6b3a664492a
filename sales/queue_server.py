"""This thread's connection to the queue's server, for what is small and safe to repeat.

It is another server than the sale Redis, so that one outlives the loss of the other.
"""

import os
import threading

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

_local = threading.local()


def client() -> redis.Redis:
    """A connection of the thread's own, with short time-outs; it tries twice."""
    owner = (os.getpid(), settings.QUEUE_REDIS_URL)
    if getattr(_local, "owner", None) != owner:
        seconds = settings.SALE_REDIS_TIMEOUT_MS / 1000
        _local.client = redis.Redis.from_url(
            settings.QUEUE_REDIS_URL,
            decode_responses=True,
            single_connection_client=True,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 1),
        )
        _local.owner = owner
    return _local.client  # type: ignore[no-any-return]
