"""Levels of many products by one rule: first what would change, then all of it.

`plan` reads and writes nothing. `apply` plans again under locks and refuses when that
is not what was shown. The change is one batch, undone as a whole.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Sum, TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog import stock, thresholds
from catalog.models import Stock, StockMovement
from catalog.status import StockStatus, stock_status
from catalog.thresholds import Defaults, Levels

if TYPE_CHECKING:
    from django.contrib.auth.models import User

WINDOW = timedelta(days=28)
INHERITS = {
    "safety_threshold": "inherits_threshold",
    "low_stock_level": "inherits_low_stock_level",
}


class Field(TextChoices):
    THRESHOLD = "safety_threshold", _("Safety threshold")
    LOW = "low_stock_level", _("Low-stock level")


class Operation(TextChoices):
    SET = "set", _("Set to this number")
    ADD = "add", _("Add this number (or take off, if it is negative)")
    PERCENT = "percent", _("This percentage of what is on hand")
    DAYS = "days", _("What sells in this many days")
    INHERIT = "inherit", _("Take it from the category or the store")


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do with one level of many products; INHERIT needs no number."""

    field: str
    operation: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """One product's level before and after, and what that does to its status."""

    product_id: int
    name: str
    sku: str
    before: int
    after: int
    inherits_before: bool
    inherits_after: bool
    status_before: StockStatus
    status_after: StockStatus
    is_in_sale: bool

    @property
    def becomes_out(self) -> bool:
        return self.status_after == StockStatus.OUT != self.status_before

    @property
    def comes_back(self) -> bool:
        return self.status_before == StockStatus.OUT != self.status_after


class Plan:
    """What a rule would do now; `mark` tells whether a later plan is the same."""

    def __init__(self, changes: list[Planned]) -> None:
        self.changes = changes

    @cached_property
    def becoming_out(self) -> int:
        return sum(change.becomes_out for change in self.changes)

    @cached_property
    def coming_back(self) -> int:
        return sum(change.comes_back for change in self.changes)

    @cached_property
    def in_sale(self) -> int:
        return sum(change.is_in_sale for change in self.changes)

    @cached_property
    def mark(self) -> str:
        return sha256(repr(self.changes).encode()).hexdigest()


class PlanIsStale(Exception):
    """The shop has changed since the plan was shown; `plan` is what it is now."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__("the shop has changed since the preview")


def plan(
    product_ids: Iterable[int], rule: Rule, *, now: datetime | None = None
) -> Plan:
    """What the rule would change, the products it changes nothing for left out."""
    ids = list(product_ids)
    rows = Stock.objects.filter(pk__in=ids).select_related("product")
    defaults = Defaults()
    sold: Mapping[int, int] = {}
    if rule.operation == Operation.DAYS:
        sold = _sold(ids, now or timezone.now())
    changes = []
    for row in rows.order_by("product__name", "pk"):
        planned = _planned(row, rule, defaults, sold.get(row.pk, 0))
        same = planned.before == planned.after
        if not same or planned.inherits_before != planned.inherits_after:
            changes.append(planned)
    return Plan(changes)


@transaction.atomic
def apply(
    product_ids: Iterable[int],
    rule: Rule,
    *,
    mark: str,
    actor: "User | None" = None,
    reason: str = "",
) -> UUID:
    """Do what was shown under `mark`; return the batch. Raises PlanIsStale."""
    ids = list(product_ids)
    thresholds.hold()
    stock.lock(ids)
    fresh = plan(ids, rule)
    if fresh.mark != mark:
        raise PlanIsStale(fresh)
    levels = {
        change.product_id: Levels(
            **{rule.field: None if change.inherits_after else change.after}
        )
        for change in fresh.changes
    }
    return thresholds.change(levels, actor=actor, reason=reason)


def _planned(row: Stock, rule: Rule, defaults: Defaults, sold: int) -> Planned:
    inherits = rule.operation == Operation.INHERIT
    if inherits:
        after = defaults.of(row.product.category_id, rule.field).number
    else:
        after = _level(row, rule, sold)
    levels = {field: getattr(row, field) for field in INHERITS} | {rule.field: after}
    return Planned(
        product_id=row.pk,
        name=row.product.name,
        sku=row.product.sku,
        before=getattr(row, rule.field),
        after=after,
        inherits_before=getattr(row, INHERITS[rule.field]),
        inherits_after=inherits,
        status_before=StockStatus(row.status),
        status_after=stock_status(row.on_hand - row.reserved, **levels),
        is_in_sale=row.allocated > 0,
    )


def _level(row: Stock, rule: Rule, sold: int) -> int:
    """The number the rule gives, kept within what a level can be."""
    if rule.operation == Operation.SET:
        wanted = rule.number
    elif rule.operation == Operation.ADD:
        wanted = getattr(row, rule.field) + rule.number
    elif rule.operation == Operation.PERCENT:
        wanted = _up(Decimal(row.on_hand * rule.number) / 100)
    else:
        wanted = _up(Decimal(sold * rule.number) / WINDOW.days)
    return max(0, min(wanted, settings.SHOP_MAX_QUANTITY))


def _up(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_CEILING))


def _sold(product_ids: list[int], now: datetime) -> dict[int, int]:
    """Units sold per product in the last four weeks."""
    rows = (
        StockMovement.objects.filter(
            product__in=product_ids,
            kind=StockMovement.Kind.SALE,
            created_at__gt=now - WINDOW,
        )
        .order_by()
        .values_list("product")
        .annotate(Sum("on_hand_delta"))
    )
    return {product_id: -delta for product_id, delta in rows}
