"""First answers, kept for requests that are sent again with the same Idempotency-Key.

The row is inserted before the work, in the work's own transaction: a repeat at the same
time waits for the first, and a crash leaves neither the work nor an answer.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import transaction

from sales.models import StoredAnswer

KEPT = timedelta(hours=48)


class Mismatch(Exception):
    """The key was used before, for another request."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks, under a key of its own; `who` keeps clients apart."""

    key: UUID
    who: str
    path: str
    body: bytes

    @property
    def digest(self) -> str:
        return _digest(str(self.key), self.who, self.path)

    @property
    def content_digest(self) -> str:
        """The same for bodies that mean the same."""
        try:
            body = json.dumps(json.loads(self.body), sort_keys=True)
        except (ValueError, RecursionError):  # nobody can read it, so as it came
            body = repr(self.body)
        return _digest(body)

    @property
    def box(self) -> Fernet:
        """What the answer is kept in: opened by nobody who lacks the key."""
        secret = sha256(f"{settings.SECRET_KEY}:{self.who}:{self.key}".encode())
        return Fernet(urlsafe_b64encode(secret.digest()))


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer's body, if the work succeeded, and whether it is a repeat."""

    body: bytes
    replayed: bool = False


def once(request: Request, work: Callable[[], tuple[bool, bytes]]) -> Outcome:
    """Do the work, or give its first answer again; `work` returns (ok, body).

    Work that is not ok is rolled back and forgotten, so that it can be tried again.
    Raises Mismatch when the key is known with another body.
    """
    with transaction.atomic():
        row, is_new = StoredAnswer.objects.get_or_create(
            digest=request.digest, defaults={"request_digest": request.content_digest}
        )
        if not is_new:
            if row.request_digest != request.content_digest:
                raise Mismatch
            return Outcome(request.box.decrypt(bytes(row.answer)), True)
        ok, body = work()
        if ok:
            row.answer = request.box.encrypt(body)
            row.save(update_fields=["answer"])
        else:
            transaction.set_rollback(True)
    return Outcome(body)


def delete_old(now: datetime) -> int:
    """Remove answers nobody will ask for again; return how many."""
    return StoredAnswer.objects.filter(created_at__lt=now - KEPT).delete()[0]


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()
