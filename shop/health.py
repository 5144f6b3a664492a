"""Is the process alive (/healthz), can it serve (/readyz), how is it (/metrics)?"""

from collections.abc import Iterator

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis import Redis, RedisError

from catalog.models import Stock
from catalog.status import StockStatus
from sales import jobs, sync
from sales.counters import NotLoaded, Unsure
from sales.models import FlashSaleItem, ItemState

LAG_LIMIT_SECONDS = 30
PATIENCE = 0.5  # seconds in which a Redis that is well answers


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers at all."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when PostgreSQL and both Redis servers answer, else 503; says which.

    What does not keep shoppers from buying (no worker, a growing sync lag) is named
    under `degraded` and leaves the answer at 200.
    """
    checks = _servers()
    ready = all(state == "ok" for state in checks.values())
    body: dict[str, object] = {"ready": ready, **checks}
    if ready:
        workers, lag = jobs.workers(), max(item_lags().values(), default=0.0)
        degraded = [f"no worker for {name}" for name in workers if not workers[name]]
        if lag > LAG_LIMIT_SECONDS:
            degraded.append("sync lag")
        body |= {
            "workers": workers,
            "sync_lag_seconds": round(lag, 3),
            "degraded": degraded,
        }
    return JsonResponse(body, status=200 if ready else 503)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Figures of the whole shop for Prometheus, read at this moment.

    They come from PostgreSQL and Redis, so every process gives the same; those of a
    server that is away are missing, and `server_up` names it. Needs
    `Authorization: Bearer <SHOP_METRICS_TOKEN>`, except on a developer's machine and in
    the demo; without such a token set, nobody gets them.
    """
    token = settings.SHOP_METRICS_TOKEN
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    is_open = not token and (settings.LOCAL or settings.DEMO)
    if not is_open and not (token and constant_time_compare(given, token)):
        return HttpResponseForbidden("a token is needed\n", content_type="text/plain")
    registry = CollectorRegistry()
    registry.register(ShopCollector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class ShopCollector(Collector):
    """Gauges of servers, stock, flash sales, sync lag, queues and workers."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        servers = _servers()
        up = _gauge("server_up", "1 when the server answers", "server")
        for name, state in servers.items():
            up.add_metric([name], float(state == "ok"))
        yield up
        if servers["postgres"] == "ok":
            yield self._products()
            yield from self._items()
        if servers["queue_redis"] == "ok":
            yield from self._queues()

    def _products(self) -> GaugeMetricFamily:
        status = _gauge("products", "Products by stock status", "status")
        for word in StockStatus:
            count = Stock.objects.filter(status=word).count()
            status.add_metric([word.value], count)
        return status

    def _items(self) -> Iterator[GaugeMetricFamily]:
        units = _gauge("flash_units", "Units of loaded items", "item", "part")
        doubt = _gauge("flash_item_stopped", "1 when frozen or paused", "item")
        for item in FlashSaleItem.objects.filter(pk__in=sync.loaded_items()):
            name = str(item.pk)
            for part in ("units", "left", "floor", "held", "paying", "paid"):
                units.add_metric([name, part], getattr(item, part))
            doubt.add_metric([name], float(item.state != ItemState.LOADED))
        lag = _gauge("sync_lag_seconds", "Age of the oldest unsynced event", "item")
        for item_id, seconds in item_lags().items():
            lag.add_metric([str(item_id)], seconds)
        yield from (units, doubt, lag)

    def _queues(self) -> Iterator[GaugeMetricFamily]:
        counts = _gauge("queue_jobs", "Jobs by queue and state", "queue", "state")
        workers = _gauge("workers", "RQ workers by queue", "queue")
        for queue in jobs.queues():
            counts.add_metric([queue.name, "waiting"], queue.waiting)
            counts.add_metric([queue.name, "failed"], queue.failed)
            workers.add_metric([queue.name], queue.workers)
        yield from (counts, workers)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"holdfast_{name}", text, labels=labels)


def _servers() -> dict[str, str]:
    """What each server says: "ok" or "unreachable"."""
    return {
        "postgres": _postgres(),
        "sale_redis": _redis(settings.SALE_REDIS_URL),
        "queue_redis": _redis(settings.QUEUE_REDIS_URL),
    }


def _postgres() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "unreachable"
    return "ok"


def _redis(url: str) -> str:
    try:
        with Redis.from_url(url, socket_timeout=PATIENCE) as client:
            client.ping()
    except RedisError:
        return "unreachable"
    return "ok"


def item_lags() -> dict[int, float]:
    """Seconds since the oldest event that is not in PostgreSQL yet, per loaded item."""
    now = timezone.now()
    lags = {}
    for item in FlashSaleItem.objects.filter(pk__in=sync.loaded_items()):
        try:
            oldest = sync.oldest_waiting(item)
        except (NotLoaded, Unsure):
            continue
        lags[item.pk] = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    return lags
