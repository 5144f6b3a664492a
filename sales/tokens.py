"""Keys to the JSON API: accounts' tokens, kept as digests, and signed guest tokens."""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from django.conf import settings
from django.core.cache import cache
from django.core.signing import BadSignature, TimestampSigner
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog.callers import Caller
from catalog.problems import Problem
from sales.models import ApiToken

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

ACCOUNT, GUEST = "hf_", "hfg_"
CACHED_SECONDS = 60
USED_EVERY = timedelta(minutes=10)
MOST_PER_USER = 50
_guests = TimestampSigner(salt="api-guest")


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token in clear, for its owner's eyes only, and its row."""

    text: str
    row: ApiToken


@transaction.atomic
def issue(
    user: "User",
    *,
    name: str = "",
    scopes: Sequence[str] | None = None,
    lifetime: timedelta | None = None,
) -> Issued:
    """A new token for an account; the oldest ones beyond MOST_PER_USER end."""
    text = ACCOUNT + secrets.token_urlsafe(32)
    lifetime = lifetime or timedelta(days=settings.SHOP_TOKEN_DAYS)
    row = ApiToken.objects.create(
        user=user,
        name=name,
        digest=_digest(text),
        hint=text[:8],
        scopes=None if scopes is None else sorted(scopes),
        expires_at=timezone.now() + lifetime,
    )
    valid = ApiToken.objects.filter(user=user, revoked_at=None).order_by("-pk")
    for old in valid[MOST_PER_USER:]:
        revoke(old)
    return Issued(text, row)


def revoke(token: ApiToken) -> None:
    """End a token now. Safe to repeat."""
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    transaction.on_commit(lambda: _forget(token.digest))
    logger.info("API token %s of user %s: revoked", token.pk, token.user_id)


def revoke_all(user: "User") -> None:
    """End all tokens of an account now. Safe to repeat."""
    for token in ApiToken.objects.filter(user=user, revoked_at=None):
        revoke(token)


def find(text: str) -> ApiToken | None:
    """The row of a token in clear, valid or not."""
    return ApiToken.objects.filter(digest=_digest(text)).first()


def new_guest() -> tuple[str, str]:
    """A token for somebody without an account, and their buyer id; stored nowhere."""
    guest = uuid4()
    return GUEST + _guests.sign(guest.hex), f"g:{guest}"


def read(text: str) -> Caller:
    """Who a token stands for, as a rule without a query. Raises Problem 401."""
    if text.startswith(GUEST):
        return _read_guest(text)
    digest = _digest(text)
    known = _recall(digest)
    if known is None:
        known = _look_up(digest)
        _remember(digest, known)
    user_id, scopes, ends = known
    if timezone.now().timestamp() >= ends:
        raise _invalid()
    return Caller(f"u:{user_id}", digest[:16], user_id, scopes)


def delete_old(now: datetime) -> int:
    """Remove tokens that ended a month ago or earlier; return how many."""
    old = now - timedelta(days=30)
    return ApiToken.objects.filter(expires_at__lt=old).delete()[0]


Known = tuple[int, list[str] | None, float]


def _look_up(digest: str) -> Known:
    now = timezone.now()
    row = ApiToken.objects.filter(digest=digest, user__is_active=True).first()
    if row is None or not row.is_valid(now):
        raise _invalid()
    if row.last_used_at is None or now - row.last_used_at > USED_EVERY:
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
    return row.user_id, row.scopes, row.expires_at.timestamp()


def _read_guest(text: str) -> Caller:
    lifetime = timedelta(days=settings.SHOP_TOKEN_DAYS)
    try:
        guest = UUID(_guests.unsign(text.removeprefix(GUEST), max_age=lifetime))
    except (BadSignature, ValueError) as error:
        raise _invalid() from error
    return Caller(f"g:{guest}", guest.hex)


def _invalid() -> Problem:
    return Problem(
        401,
        "unauthorized",
        _("This token is not valid, or no longer is; get a new one."),
    )


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


# The cache only spares a query: without it tokens are looked up each time. It is asked
# in a rush, so whatever its server does must not turn a shopper away.


def _recall(digest: str) -> Known | None:
    try:
        known: Known | None = cache.get(f"api-token:{digest}")
    except Exception as error:
        logger.warning("API tokens are looked up without the cache: %s", error)
        return None
    return known


def _remember(digest: str, known: Known) -> None:
    try:
        cache.set(f"api-token:{digest}", known, CACHED_SECONDS)
    except Exception as error:
        logger.warning("an API token is not in the cache: %s", error)


def _forget(digest: str) -> None:
    try:
        cache.delete(f"api-token:{digest}")
    except Exception as error:
        logger.warning("a revoked API token works for %s s: %s", CACHED_SECONDS, error)
