"""Is the process alive (`/healthz`), and can it serve (`/readyz`)?"""

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import Redis, RedisError


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers at all."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when PostgreSQL and both Redis servers answer, else 503; says which."""
    checks = {
        "postgres": _postgres(),
        "sale_redis": _redis(settings.SALE_REDIS_URL),
        "queue_redis": _redis(settings.QUEUE_REDIS_URL),
    }
    ready = all(state == "ok" for state in checks.values())
    return JsonResponse({"ready": ready, **checks}, status=200 if ready else 503)


def _postgres() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "unreachable"
    return "ok"


def _redis(url: str) -> str:
    try:
        with Redis.from_url(url, socket_timeout=0.5) as client:
            client.ping()
    except RedisError:
        return "unreachable"
    return "ok"
