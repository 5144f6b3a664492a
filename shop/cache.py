"""The cache in Redis; what guards the sign-in is counted without Redis as well."""

import logging
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis import RedisError

logger = logging.getLogger(__name__)

SIGN_IN = "allauth"  # its limits, and the codes of second steps that were used
MOST_KEPT = 10_000


class Cache(RedisCache):
    """Redis; while it is away, sign-ins are counted in the memory of this process.

    They start anew then, and each process allows as many as all of them do otherwise.
    Whatever else is asked for raises RedisError: it would be wrong in other processes.
    """

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._here = LocMemCache("sign-in", {"OPTIONS": {"MAX_ENTRIES": MOST_KEPT}})

    def add(self, key: str, *args: Any, **kwargs: Any) -> bool:
        return bool(self._ask("add", key, *args, **kwargs))

    def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        return self._ask("get", key, *args, **kwargs)

    def set(self, key: str, *args: Any, **kwargs: Any) -> None:
        self._ask("set", key, *args, **kwargs)

    def delete(self, key: str, *args: Any, **kwargs: Any) -> bool:
        return bool(self._ask("delete", key, *args, **kwargs))

    def _ask(self, name: str, key: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(super(), name)(key, *args, **kwargs)
        except RedisError as error:
            if not key.startswith(SIGN_IN):
                raise
            if name == "set":  # a try was counted; the locks around it say nothing new
                logger.warning("this process counts sign-ins alone: %s", error)
            return getattr(self._here, name)(key, *args, **kwargs)
