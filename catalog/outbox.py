"""What other systems are told: an outbox written with the change, sent afterwards.

`publish` belongs into the transaction of the change it is about, so an event exists if
and only if the change does. `deliver_due` sends, at least once, with a signature and
with back-off for a day; receivers tell repeats by the event's id.
"""

import hashlib
import hmac
import http.client
import json
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from catalog import outgoing
from catalog.models import (
    OutboxEvent,
    Product,
    StatusChange,
    WebhookDelivery,
    WebhookEndpoint,
    new_secret,
)
from catalog.status import StockStatus

logger = logging.getLogger(__name__)

KINDS = (
    "stock.low",
    "stock.out",
    "stock.back",
    "order.paid",
    "order.expired",
    "sale.sold_out",
    "sale.settled",
    "test",
)
ALERT = "alert"  # goes where a rule says, whatever else the endpoint hears of
GIVE_UP_AFTER = timedelta(hours=24)
KEEP_FOR = timedelta(days=30)
LEASE = timedelta(seconds=60)
TIMEOUT_SECONDS = 5  # for a connection, and then for the answer as a whole
SLOW_SECONDS = 1  # who takes longer is not called again in the same run
RUN_SECONDS = 20
SECOND_CLICK = timedelta(minutes=1)


def publish(kind: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one event per row, for every endpoint that wants this kind.

    Part of the caller's transaction. Without such an endpoint nothing is written.
    """
    active = WebhookEndpoint.objects.filter(is_active=True)
    publish_to([e for e in active if not e.kinds or kind in e.kinds], kind, rows)


def publish_to(
    endpoints: Collection[WebhookEndpoint], kind: str, rows: Iterable[Mapping[str, Any]]
) -> None:
    """Write one event per row for these endpoints; part of the caller's transaction."""
    if not endpoints:
        return
    events = [OutboxEvent(kind=kind, data=dict(row)) for row in rows]
    OutboxEvent.objects.bulk_create(events)
    WebhookDelivery.objects.bulk_create(
        [WebhookDelivery(event=ev, endpoint=e) for ev in events for e in endpoints]
    )


def publish_flips(flips: Sequence[StatusChange]) -> None:
    """Tell of crossings: a product became low, out, or came back."""
    if not flips or not WebhookEndpoint.objects.filter(is_active=True).exists():
        return
    products = Product.objects.in_bulk([flip.product_id for flip in flips])
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for flip in flips:
        if kind := _kind_of(flip):
            by_kind.setdefault(kind, []).append(
                {
                    "sku": products[flip.product_id].sku,
                    "from": str(flip.from_status),
                    "to": str(flip.to_status),
                    "sellable": flip.sellable,
                }
            )
    for kind, rows in by_kind.items():
        publish(kind, rows)


def _kind_of(flip: StatusChange) -> str:
    if flip.to_status == StockStatus.OUT:
        return "stock.out"
    if flip.from_status == StockStatus.OUT:
        return "stock.back"
    return "stock.low" if flip.to_status == StockStatus.LOW else ""


def deliver_due(now: datetime, *, seconds: float = RUN_SECONDS) -> int:
    """Send what is due, for a while; return how many were delivered.

    Each delivery is leased for a minute before it is sent, so two runs do not send the
    same one at once, and a crash while sending only repeats it. An endpoint that is
    away or slow costs a run one call, so it holds up neither the others nor other jobs.
    """
    delivered, slow = 0, set[int]()
    start = called = time.monotonic()
    while called - start < seconds and (delivery := _lease(now, slow)):
        answer = send(delivery.endpoint, delivery.event)
        delivered += _note(delivery, answer, timezone.now())
        is_away = not _is_status(answer)
        if is_away:
            _put_off(delivery)
        last, called = called, time.monotonic()
        if is_away or called - last > SLOW_SECONDS:
            slow.add(delivery.endpoint_id)
    return delivered


def send_test(endpoint: WebhookEndpoint) -> str:
    """Send a test event right away; return what came back, "200" for success."""
    return send(endpoint, OutboxEvent(kind="test", data={}, created_at=timezone.now()))


@transaction.atomic
def rotate_secret(endpoint: WebhookEndpoint) -> None:
    """Give an endpoint a new secret; for a day both sign, so nobody is cut off.

    A second click within a minute changes nothing: it would end the one in use.
    """
    row = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
    until = timezone.now() + timedelta(days=1)
    if not row.old_secret_until or row.old_secret_until < until - SECOND_CLICK:
        row.old_secret, row.old_secret_until = row.secret, until
        row.secret = new_secret()
        row.save(update_fields=["secret", "old_secret", "old_secret_until"])
    endpoint.refresh_from_db()


def send_again(delivery: WebhookDelivery) -> None:
    """Put a delivery back in line."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        state=WebhookDelivery.State.PENDING, next_try_at=timezone.now(), attempts=0
    )


def forget_old(now: datetime) -> int:
    """Delete events whose time has passed, with their deliveries."""
    old = OutboxEvent.objects.filter(created_at__lt=now - KEEP_FOR)
    return old.delete()[0]


def send(endpoint: WebhookEndpoint, event: OutboxEvent) -> str:
    """POST one event; "200" and its like for success, else the reason in words."""
    body = json.dumps(
        {
            "id": str(event.pk),
            "type": event.kind,
            "created_at": event.created_at.isoformat(),
            "data": event.data,
        }
    ).encode()
    scheme = endpoint.url.partition(":")[0].lower()
    if scheme not in ("http", "https"):
        return "only http and https can be called"
    if scheme == "http" and settings.HTTPS:
        return "plain http is not allowed here"
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Holdfast-Webhook/1",
        "Holdfast-Signature": signature(endpoint, body, timezone.now()),
    }
    try:
        return str(outgoing.post(endpoint.url, body, headers, timeout=TIMEOUT_SECONDS))
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error)[:200] or type(error).__name__


def signature(endpoint: WebhookEndpoint, body: bytes, now: datetime) -> str:
    """`t=<unix time>,v1=<HMAC-SHA256 of "time.body">`, one v1 per valid secret."""
    moment = str(int(now.timestamp()))
    secrets = [endpoint.secret]
    if endpoint.old_secret and (endpoint.old_secret_until or now) > now:
        secrets.append(endpoint.old_secret)
    signed = moment.encode() + b"." + body
    marks = [hmac.new(s.encode(), signed, hashlib.sha256).hexdigest() for s in secrets]
    return ",".join([f"t={moment}", *(f"v1={mark}" for mark in marks)])


@transaction.atomic
def _lease(now: datetime, slow: Collection[int]) -> WebhookDelivery | None:
    """The next delivery that is due, of an endpoint that is on and not `slow`."""
    delivery = (
        WebhookDelivery.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("event", "endpoint")
        .filter(
            state=WebhookDelivery.State.PENDING,
            next_try_at__lte=now,
            endpoint__is_active=True,
        )
        .exclude(endpoint__in=slow)
        .order_by("next_try_at", "pk")
        .first()
    )
    if delivery is not None:
        WebhookDelivery.objects.filter(pk=delivery.pk).update(next_try_at=now + LEASE)
    return delivery


def _put_off(tried: WebhookDelivery) -> None:
    """Let an endpoint that is away rest until the next try, with all it is to get."""
    if tried.state == WebhookDelivery.State.PENDING:
        WebhookDelivery.objects.filter(
            endpoint=tried.endpoint_id,
            state=WebhookDelivery.State.PENDING,
            next_try_at__lt=tried.next_try_at,
        ).update(next_try_at=tried.next_try_at)


def _is_status(answer: str) -> bool:
    return len(answer) == 3 and answer.isdecimal()


def _note(delivery: WebhookDelivery, answer: str, now: datetime) -> bool:
    """Write down how a try went and when the next one is; True if delivered."""
    delivery.attempts += 1
    delivery.answer = answer[:200]
    delivered = _is_status(answer) and answer.startswith("2")
    if delivered:
        delivery.state = WebhookDelivery.State.DELIVERED
        delivery.delivered_at = now
    elif now - delivery.event.created_at > GIVE_UP_AFTER:
        delivery.state = WebhookDelivery.State.FAILED
        logger.error("webhook %s to %s: gave up", delivery.pk, delivery.endpoint_id)
    else:
        wait = min(10 * 2 ** min(delivery.attempts, 12), 3600)
        delivery.next_try_at = now + timedelta(seconds=wait)
    delivery.save(
        update_fields=["attempts", "answer", "state", "delivered_at", "next_try_at"]
    )
    return delivered
