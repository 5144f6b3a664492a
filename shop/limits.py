"""How often the API may be called, per token and per address, counted in Redis.

Windows of a minute. The limits are far above what a shopper in a rush does, and above
what an office behind one address does; they stop what no person does. When Redis does
not answer, everybody is let through.
"""

import logging
import math
import time
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja.throttling import BaseThrottle
from redis import Redis, RedisError

from catalog.callers import caller_of

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60
PATIENCE = 0.3  # seconds
SIGN_IN = {"users", "tokens", "guests"}
ROOMS = {"waiting-room", "waiting-list"}


@dataclass(frozen=True, slots=True)
class Rate:
    """What is left of a limit in this window."""

    limit: int
    used: int
    reset: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


class Limits(BaseThrottle):
    """Counts each call against its kind's limits; the tightest one is told."""

    def allow_request(self, request: HttpRequest) -> bool:
        if not settings.SHOP_RATE_LIMITS:
            return True
        kind = _kind(request)
        most = settings.SHOP_API_LIMITS[kind]
        found = _count(
            {
                f"{kind}:{name}": most[unit]
                for unit, name in _names(request, self.get_ident(request)).items()
            }
        )
        if not found:
            return True
        tightest = min(found, key=lambda rate: (rate.remaining, -rate.used))
        request.rate = tightest  # type: ignore[attr-defined]
        return all(rate.used <= rate.limit for rate in found)

    def wait(self) -> float:
        return WINDOW_SECONDS - time.time() % WINDOW_SECONDS


def may_join(request: HttpRequest) -> bool:
    """Whether one more place in a waiting room may be taken from a page's address.

    Counted together with those taken by the API.
    """
    if not settings.SHOP_RATE_LIMITS:
        return True
    address = BaseThrottle().get_ident(request) or "unknown"
    most = settings.SHOP_API_LIMITS["room"]["address"]
    found = _count({f"room:address:{address}": most})
    return all(rate.used <= rate.limit for rate in found)


def show(request: HttpRequest, response: HttpResponse) -> None:
    """Tell the client where it stands, by the RateLimit headers."""
    rate: Rate | None = getattr(request, "rate", None)
    if rate is not None:
        response["RateLimit-Limit"] = str(rate.limit)
        response["RateLimit-Remaining"] = str(rate.remaining)
        response["RateLimit-Reset"] = str(rate.reset)


def _kind(request: HttpRequest) -> str:
    match = request.resolver_match
    name = match.url_name if match else ""
    if name == "claims":
        return "claims"
    if name in SIGN_IN and request.method == "POST":
        return "sign-in"
    if name in ROOMS and request.method == "POST":
        return "room"
    return "calls"


def _names(request: HttpRequest, address: str | None) -> dict[str, str]:
    """Who is counted: the token, if there is one, and the address."""
    names = {"address": f"address:{address or 'unknown'}"}
    caller = caller_of(request) if hasattr(request, "caller") else None
    if caller and caller.ident:
        names["token"] = f"token:{caller.ident}"
    return names


def _count(limits: dict[str, int]) -> list[Rate]:
    now = time.time()
    window = int(now // WINDOW_SECONDS)
    reset = math.ceil((window + 1) * WINDOW_SECONDS - now)
    try:
        pipeline = _client().pipeline(transaction=False)
        for name in limits:
            key = f"rate:{name}:{window}"
            pipeline.incr(key)
            pipeline.expire(key, 2 * WINDOW_SECONDS)
        used = pipeline.execute()[::2]
    except RedisError as error:
        logger.warning("calls are not counted: %s", error)
        return []
    return [Rate(most, n, reset) for most, n in zip(limits.values(), used, strict=True)]


_clients: dict[str, "Redis"] = {}


def _client() -> "Redis":
    """One pool of connections per process; a slow server must not slow the shop."""
    url = settings.CACHE_REDIS_URL
    if url not in _clients:
        _clients[url] = Redis.from_url(
            url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
        )
    return _clients[url]
