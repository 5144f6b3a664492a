"""What other systems are told: an outbox written with the change, sent afterwards.

`publish` belongs into the transaction of the change it is about, so an event exists if
and only if the change does. `deliver_due` sends, at least once, with a signature and
with back-off for a day; receivers tell repeats by the event's id.
"""

import hashlib
import hmac
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

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
GIVE_UP_AFTER = timedelta(hours=24)
KEEP_FOR = timedelta(days=30)
LEASE = timedelta(seconds=60)
TIMEOUT_SECONDS = 5


def publish(kind: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one event per row, for every endpoint that wants this kind.

    Part of the caller's transaction. Without such an endpoint nothing is written.
    """
    endpoints = [
        e
        for e in WebhookEndpoint.objects.filter(is_active=True)
        if not e.kinds or kind in e.kinds
    ]
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


def deliver_due(now: datetime, *, limit: int = 100) -> int:
    """Send what is due; return how many were delivered.

    Each delivery is leased for a minute before it is sent, so two runs do not send the
    same one at once, and a crash while sending only repeats it.
    """
    delivered = 0
    for delivery in _lease(now, limit):
        answer = send(delivery.endpoint, delivery.event)
        delivered += _note(delivery, answer, timezone.now())
    return delivered


def send_test(endpoint: WebhookEndpoint) -> str:
    """Send a test event right away; return what came back, "200" for success."""
    return send(endpoint, OutboxEvent(kind="test", data={}, created_at=timezone.now()))


def rotate_secret(endpoint: WebhookEndpoint) -> None:
    """Give an endpoint a new secret; for a day both sign, so nobody is cut off."""
    endpoint.old_secret = endpoint.secret
    endpoint.old_secret_until = timezone.now() + timedelta(days=1)
    endpoint.secret = new_secret()
    endpoint.save()


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
    request = urllib.request.Request(  # noqa: S310 - checked below
        endpoint.url,
        data=body,
        method="POST",
        headers={
            "Content-Type": "application/json",
            "User-Agent": "Holdfast-Webhook/1",
            "Holdfast-Signature": signature(endpoint, body, timezone.now()),
        },
    )
    if request.type not in ("http", "https"):
        return "only http and https can be called"
    if request.type == "http" and settings.HTTPS:
        return "plain http is not allowed here"
    try:
        with _opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except (OSError, ValueError) as error:
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


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer, not an address to try."""

    def redirect_request(self, *args: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


@transaction.atomic
def _lease(now: datetime, limit: int) -> list[WebhookDelivery]:
    due = (
        WebhookDelivery.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("event", "endpoint")
        .filter(state=WebhookDelivery.State.PENDING, next_try_at__lte=now)
        .order_by("next_try_at")[:limit]
    )
    leased = list(due)
    WebhookDelivery.objects.filter(pk__in=[d.pk for d in leased]).update(
        next_try_at=now + LEASE
    )
    return leased


def _note(delivery: WebhookDelivery, answer: str, now: datetime) -> bool:
    """Write down how a try went and when the next one is; True if delivered."""
    delivery.attempts += 1
    delivery.answer = answer[:200]
    delivered = len(answer) == 3 and answer.startswith("2")
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
