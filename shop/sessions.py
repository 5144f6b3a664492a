"""Sessions in PostgreSQL with a copy in the cache, also while the cache is away."""

from contextlib import suppress
from typing import Any

from django.contrib.sessions.backends import cached_db, db
from redis import RedisError


class SessionStore(cached_db.SessionStore):
    """Nobody is signed out, and no page fails, because the cache does not answer.

    Signing out does fail then: the copy would still be there when the cache is back.
    """

    def load(self) -> dict[str, Any]:
        try:
            return super().load()
        except RedisError:
            return db.SessionStore.load(self)

    def exists(self, session_key: str) -> bool:
        try:
            return super().exists(session_key)
        except RedisError:
            return db.SessionStore.exists(self, session_key)

    def cycle_key(self) -> None:
        """Go on under a new key; a copy that stays under the old one is worth nothing.

        It is of nobody yet, or of a password that has changed.
        """
        with suppress(RedisError):  # removing the copy comes last
            super().cycle_key()
