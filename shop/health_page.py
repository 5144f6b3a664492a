"""The health of the servers and of the work behind the shop, for whoever runs it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe
from redis import Redis, RedisError

from catalog.models import WebhookDelivery
from sales import audit, jobs
from sales.models import FlashSaleItem, OrderMail, PaymentNotice, Verdict
from shop import health

AUDIT_AGE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that is well or not: what it is, how it is, and where to look."""

    name: str
    is_well: bool
    text: str
    url: str = ""


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """How everything is at this moment; htmx gets the table alone."""
    if not request.user.has_perm("django_rq.admin"):
        raise PermissionDenied
    found = list(signs())
    context: dict[str, Any] = {
        "signs": found,
        "ill": sum(not sign.is_well for sign in found),
        "now": timezone.now(),
    }
    if request.headers.get("HX-Target") == "health":
        return render(request, "merchant/_health.html", context)
    context |= {**admin.site.each_context(request), "title": _("Health")}
    return render(request, "merchant/health.html", context)


def signs() -> Iterator[Sign]:
    """Each server, queue and lag; one that does not answer hides no other."""
    yield _postgres()
    yield _redis(_("Sale Redis"), settings.SALE_REDIS_URL, must_keep=True)
    queue_redis = _redis(_("Queue Redis"), settings.QUEUE_REDIS_URL)
    yield queue_redis
    if queue_redis.is_well:
        yield from _queues()
        yield _schedule()
    yield _lag()
    yield _stopped()
    yield _audit()
    yield from _left_undone()


def _postgres() -> Sign:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), current_setting('max_connections'), "
            "pg_size_pretty(pg_database_size(current_database())) "
            "FROM pg_stat_activity"
        )
        used, most, size = cursor.fetchone()
    text = _("%(used)s of %(most)s connections, %(size)s") % {
        "used": used,
        "most": most,
        "size": size,
    }
    return Sign("PostgreSQL", used < int(most) - 3, text)


def _redis(name: str, url: str, *, must_keep: bool = False) -> Sign:
    start = perf_counter()
    try:
        with Redis.from_url(url, socket_timeout=health.PATIENCE) as client:
            found: dict[str, Any] = client.info()
            synced = _fsync(client)
    except RedisError:
        return Sign(name, False, _("does not answer"))
    text = _("answers in %(ms).1f ms, %(memory)s in use") % {
        "ms": 1000 * (perf_counter() - start),
        "memory": found["used_memory_human"],
    }
    if must_keep and not found.get("aof_enabled"):
        return Sign(name, False, _("keeps nothing on disk: set appendonly to yes"))
    if must_keep and synced not in ("always", ""):
        return Sign(name, False, _("may lose a second: set appendfsync to always"))
    if must_keep and found.get("aof_last_write_status") != "ok":
        return Sign(name, False, _("cannot write to its disk"))
    return Sign(name, True, text)


def _fsync(client: Redis) -> str:
    """When it writes to disk before it answers; empty where it does not tell."""
    try:
        return client.config_get("appendfsync").get("appendfsync") or ""
    except RedisError:
        return ""


def _queues() -> Iterator[Sign]:
    for index, queue in enumerate(jobs.queues()):
        sentence = ngettext(
            "%(waiting)s job waits", "%(waiting)s jobs wait", queue.waiting
        )
        texts = [sentence % {"waiting": queue.waiting}]
        if queue.workers:
            workers = ngettext("%(n)s worker", "%(n)s workers", queue.workers)
            texts.append(workers % {"n": queue.workers})
        else:
            texts.append(_("no worker: start one with “manage.py rqworker”"))
        if queue.failed:
            texts.append(_("%(n)s failed: look, and try again") % {"n": queue.failed})
        kind = "failed_jobs" if queue.failed else "jobs"
        yield Sign(
            _("Queue “%(name)s”") % {"name": queue.name},
            bool(queue.workers) and not queue.failed,
            ", ".join(texts),
            reverse(f"admin:django_rq_{kind}", args=[index]),
        )


def _schedule() -> Sign:
    number = jobs.schedules()
    text = {0: _("none runs: start “manage.py rqcron sales.cron”"), 1: _("one runs")}
    many = _("%(n)s run, and one is right") % {"n": number}
    url = reverse("admin:django_rq_dashboard_changelist")
    return Sign(_("Schedule"), number == 1, text.get(number, many), url)


def _lag() -> Sign:
    seconds = max(health.item_lags().values(), default=0.0)
    text = _("%(seconds).1f seconds behind the sale Redis") % {"seconds": seconds}
    return Sign(_("Sync of flash sales"), seconds <= health.LAG_LIMIT_SECONDS, text)


def _stopped() -> Sign:
    """Products of running sales that nobody can buy, because of a doubt."""
    stopped = FlashSaleItem.objects.filter(state__in=FlashSaleItem.STOPPED)
    items = list(stopped.select_related("product"))
    text = ", ".join(f"{item.product}: {item.doubt}" for item in items) or "0"
    url = reverse("admin:sales_flash_item", args=[items[0].pk]) if items else ""
    return Sign(_("Flash-sale products stopped by a doubt"), not items, text, url)


def _audit() -> Sign:
    run = audit.latest()
    if run is None:
        return Sign(_("Audit"), False, _("There was none yet."))
    is_fresh = timezone.now() - run.created_at <= AUDIT_AGE
    text = run.get_verdict_display()
    if not is_fresh:
        text = _("%(verdict)s, but it was long ago") % {"verdict": text}
    url = reverse("admin:sales_auditrun_change", args=[run.pk])
    return Sign(_("Audit"), is_fresh and run.verdict == Verdict.HOLDS, text, url)


def _left_undone() -> Iterator[Sign]:
    """What was tried too often, and waits for a person."""
    given_up: list[tuple[str, Callable[[], int], str]] = [
        (
            _("E-mails given up"),
            OrderMail.objects.filter(sent_at=None, next_try_at=None).count,
            reverse("admin:sales_ordermail_changelist") + "?state=given_up",
        ),
        (
            _("Payment notices not handled"),
            PaymentNotice.objects.filter(
                handled_at=None,
                received_at__lt=timezone.now() - timedelta(minutes=1),
            ).count,
            reverse("admin:sales_paymentnotice_changelist") + "?state=open",
        ),
        (
            _("Webhook deliveries given up"),
            WebhookDelivery.objects.filter(state="failed").count,
            reverse("admin:catalog_webhookdelivery_changelist")
            + "?state__exact=failed",
        ),
    ]
    for name, count, url in given_up:
        number = count()
        yield Sign(name, not number, str(number), url if number else "")
