"""Alerts about flash sales: what the stored rows and the counters say is not well.

Derived from state, not sent from the place where it happens, so that an alarm survives
a crash there and comes once until somebody has seen it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F
from django.utils.translation import gettext as _

from catalog import alerts
from catalog.models import Alert, AlertKind, Product
from sales import sync
from sales.counters import NotLoaded, Unsure
from sales.models import AuditRun, FlashSaleItem, ItemState

LAG_LIMIT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing to tell; the same `cause` is the same thing.

    What is past and cannot be put right is not told again once it was seen.
    """

    kind: str
    cause: str
    text: str
    product: Product | None = None
    is_past: bool = False


def sound(now: datetime) -> int:
    """Raise an alert for each alarm nobody has been told of; return how many."""
    raised = 0
    for alarm in (*_doubts(), *_poison(), *_sold_out(), *_lags(now), *_drifts()):
        told = Alert.objects.filter(kind=alarm.kind, cause=alarm.cause)
        if alarm.is_past and told.exists():
            continue
        alert = alerts.raise_once(
            alarm.kind, alarm.text, cause=alarm.cause, product=alarm.product
        )
        raised += alert is not None
    return raised


def _loaded() -> list[FlashSaleItem]:
    items = FlashSaleItem.objects.select_related("product", "sale")
    return list(items.filter(pk__in=sync.loaded_items()))


def _doubts() -> Iterator[Alarm]:
    for item in _loaded():
        if item.doubt and item.state != ItemState.LOADED:
            text = _("%(name)s in %(sale)s is stopped: %(doubt)s") % {
                "name": item.product.name,
                "sale": item.sale.name,
                "doubt": item.doubt,
            }
            yield Alarm(AlertKind.DOUBT, f"doubt:{item.pk}", text, item.product)


def _poison() -> Iterator[Alarm]:
    poisoned = FlashSaleItem.objects.filter(poison_events__gt=0)
    for item in poisoned.select_related("product", "sale"):
        text = _(
            "Of %(name)s in %(sale)s, %(count)s events could not be understood. They "
            "were set aside and changed nothing; see Flash events."
        ) % {
            "name": item.product.name,
            "sale": item.sale.name,
            "count": item.poison_events,
        }
        cause = f"poison:{item.pk}:{item.poison_events}"
        yield Alarm(AlertKind.DOUBT, cause, text, item.product, is_past=True)


def _sold_out() -> Iterator[Alarm]:
    sold = FlashSaleItem.objects.filter(left__lte=F("floor"), held=0, paying=0)
    for item in sold.filter(state=ItemState.LOADED).select_related("product", "sale"):
        text = _("%(name)s is sold out in %(sale)s: %(paid)s units paid.") % {
            "name": item.product.name,
            "sale": item.sale.name,
            "paid": item.paid,
        }
        cause = f"sold-out:{item.pk}"
        yield Alarm(AlertKind.SOLD_OUT, cause, text, item.product, is_past=True)


def _lags(now: datetime) -> Iterator[Alarm]:
    for item in _loaded():
        try:
            oldest = sync.oldest_waiting(item)
        except (NotLoaded, Unsure):
            continue
        if oldest and now - oldest > LAG_LIMIT:
            text = _(
                "Orders of %(sale)s are not brought into the books since %(time)s UTC. "
                "Is a worker running?"
            ) % {"sale": item.sale.name, "time": f"{oldest:%H:%M:%S}"}
            yield Alarm(AlertKind.SYNC_LAG, f"lag:{item.sale_id}", text)


def _drifts() -> Iterator[Alarm]:
    run = AuditRun.objects.order_by("-pk").first()
    for finding in run.violations if run else []:
        subject = finding["subject"]
        cause = f"audit:{finding['invariant']}:{subject}"[:120]
        yield Alarm(AlertKind.DRIFT, cause, f"{finding['sentence']} ({subject})")
