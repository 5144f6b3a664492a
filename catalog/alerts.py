"""Who is told of a crossing or an alarm: in the dashboard, by e-mail, by webhook.

Every StatusChange becomes at most one alert, whatever wrote it, because this module
reads the rows and marks them in the same transaction. A product that flips to and fro
is not told again within a rule's quiet time.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog import outbox
from catalog.models import (
    Alert,
    AlertKind,
    AlertMail,
    AlertRule,
    Category,
    Product,
    StatusChange,
)
from catalog.status import StockStatus

logger = logging.getLogger(__name__)

BATCH = 500
DIGEST = timedelta(hours=24)


@transaction.atomic
def read_status_changes(*, limit: int = BATCH) -> int:
    """Turn new StatusChange rows into alerts; return how many rows were read.

    Safe to run twice at once: rows are locked, and marked with the alert they made.
    """
    changes = list(
        StatusChange.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("product")
        .filter(alerted_at=None)
        .order_by("pk")[:limit]
    )
    for change in changes:
        kind = _kind_of(change)
        if kind:
            raise_alert(
                kind, _sentence(change), product=change.product, cause=change.cause
            )
    StatusChange.objects.filter(pk__in=[c.pk for c in changes]).update(
        alerted_at=timezone.now()
    )
    return len(changes)


@transaction.atomic
def raise_alert(
    kind: str, text: str, *, product: Product | None = None, cause: str = ""
) -> Alert:
    """Show an alert in the dashboard; line up the mails and events of its rules."""
    rules = [r for r in _rules(kind, product) if not _is_quiet(r, product)]
    alert = Alert.objects.create(
        kind=kind, product=product, text=text[:300], cause=cause[:120]
    )
    AlertMail.objects.bulk_create(
        AlertMail(
            rule=rule, alert=alert, sent_at=None if rule.emails else alert.created_at
        )
        for rule in rules
    )
    endpoints = {r.endpoint for r in rules if r.endpoint and r.endpoint.is_active}
    outbox.publish_to(endpoints, outbox.ALERT, [_data(alert)])
    return alert


def raise_once(
    kind: str, text: str, *, cause: str, product: Product | None = None
) -> Alert | None:
    """Like `raise_alert`, unless an unseen alert of this kind and cause is there."""
    if Alert.objects.filter(kind=kind, cause=cause[:120], seen_at=None).exists():
        return None
    return raise_alert(kind, text, product=product, cause=cause)


def look_for_long_outs(now: datetime) -> int:
    """Raise `stays_out` for products that are out longer than a rule allows."""
    raised = 0
    for rule in AlertRule.objects.filter(kind=AlertKind.STAYS_OUT, is_active=True):
        since = now - timedelta(hours=rule.out_hours)
        later = StatusChange.objects.filter(product=OuterRef("product"))
        out = StatusChange.objects.filter(
            ~Exists(later.filter(pk__gt=OuterRef("pk"))),
            to_status=StockStatus.OUT,
            created_at__lte=since,
            product__in=_products(rule),
        ).select_related("product")
        for change in out[:BATCH]:
            text = _("%(name)s is out of stock for more than %(hours)s hours.") % {
                "name": change.product.name,
                "hours": rule.out_hours,
            }
            cause = f"status:{change.pk}:{rule.pk}"
            if not Alert.objects.filter(cause=cause).exists():
                raise_alert(
                    AlertKind.STAYS_OUT, text, product=change.product, cause=cause
                )
                raised += 1
    return raised


def send_mails(now: datetime) -> int:
    """Mail what is lined up, one mail per rule; return how many mails went out.

    A mail that cannot be sent stays in line; the other rules' mails go on.
    """
    sent = 0
    waiting = AlertRule.objects.filter(
        Exists(AlertMail.objects.filter(rule=OuterRef("pk"), sent_at=None))
    )
    for rule_id in list(waiting.values_list("pk", flat=True)):
        try:
            sent += _send(rule_id, now)
        except OSError as error:
            logger.warning("alert rule %s: mail waits: %s", rule_id, error)
    return sent


@transaction.atomic
def _send(rule_id: int, now: datetime) -> bool:
    rule = (
        AlertRule.objects.select_for_update(skip_locked=True).filter(pk=rule_id).first()
    )
    if rule is None:
        return False
    if rule.is_digest and rule.mailed_at and now - rule.mailed_at < DIGEST:
        return False
    mails = list(
        rule.mails.filter(sent_at=None).select_related("alert").order_by("pk")[:BATCH]
    )
    if not mails:
        return False
    lines = [f"{m.alert.created_at:%Y-%m-%d %H:%M} UTC  {m.alert.text}" for m in mails]
    subject = _("%(shop)s: %(kind)s (%(count)s)") % {
        "shop": settings.SHOP_NAME,
        "kind": rule.get_kind_display(),
        "count": len(mails),
    }
    body = "\n".join([*lines, "", f"{settings.SITE_URL}/admin/"])
    addresses = [a.strip() for a in rule.emails.split(",") if a.strip()]
    AlertMail.objects.filter(pk__in=[m.pk for m in mails]).update(sent_at=now)
    AlertRule.objects.filter(pk=rule.pk).update(mailed_at=now)
    # Last, inside the transaction: a failure leaves the mails in line.
    send_mail(subject, body, settings.DEFAULT_FROM_EMAIL, addresses)
    return True


def _data(alert: Alert) -> dict[str, Any]:
    return {
        "alert_id": alert.pk,
        "kind": str(alert.kind),
        "text": alert.text,
        "sku": alert.product.sku if alert.product else None,
    }


def _kind_of(change: StatusChange) -> str:
    if change.to_status == StockStatus.OUT:
        return AlertKind.OUT
    if change.from_status == StockStatus.OUT:
        return AlertKind.BACK
    return AlertKind.LOW if change.to_status == StockStatus.LOW else ""


def _sentence(change: StatusChange) -> str:
    values = {"name": change.product.name, "sku": change.product.sku}
    if change.to_status == StockStatus.OUT:
        return _("%(name)s (%(sku)s) is out of stock.") % values
    if change.from_status == StockStatus.OUT:
        return _("%(name)s (%(sku)s) is back in stock.") % values
    return _("%(name)s (%(sku)s) is low: %(units)s units above its threshold.") % {
        **values,
        "units": change.sellable,
    }


def _rules(kind: str, product: Product | None) -> Iterable[AlertRule]:
    rules = AlertRule.objects.filter(kind=kind, is_active=True)
    rules = rules.select_related("endpoint")
    if product is None:
        return rules.filter(product=None, category=None)
    shelves = _ancestors(product.category_id)
    return rules.filter(
        Q(product=product)
        | Q(product=None, category=None)
        | Q(product=None, category__in=shelves)
    )


def _is_quiet(rule: AlertRule, product: Product | None) -> bool:
    """Whether this rule has reported this product a moment ago."""
    since = timezone.now() - timedelta(minutes=rule.quiet_minutes)
    recent = rule.mails.filter(alert__created_at__gt=since, alert__product=product)
    return product is not None and recent.exists()


def _ancestors(category_id: int | None) -> list[int]:
    parents = dict(Category.objects.values_list("pk", "parent_id"))
    found: list[int] = []
    while category_id is not None and category_id not in found:
        found.append(category_id)
        category_id = parents.get(category_id)
    return found


def _products(rule: AlertRule) -> QuerySet[Product]:
    products = Product.objects.all()
    if rule.product_id:
        return products.filter(pk=rule.product_id)
    if rule.category_id:
        shelves = [
            pk
            for pk in Category.objects.values_list("pk", flat=True)
            if rule.category_id in _ancestors(pk)
        ]
        return products.filter(category__in=shelves)
    return products
