"""Levels of many products at once: first what would change, then all of it.

By one rule for products, by a number for each (a file), or by a default that products
inherit. Planning writes nothing. Applying plans again under locks and refuses when that
is not what was shown. The change is one batch, undone as a whole.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum, TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog import stock, thresholds
from catalog.models import Category, Stock, StockMovement, Store
from catalog.status import StockStatus, stock_status
from catalog.thresholds import Defaults, Levels, Target

if TYPE_CHECKING:
    from django.contrib.auth.models import User

WINDOW = timedelta(days=28)
NEEDED = (
    *(field.name for field in fields(Target)),
    *("on_hand", "reserved", "allocated", "status"),
    *("product__name", "product__sku", "product__category_id"),
)


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
class Step:
    """One level before and after."""

    before: int
    after: int
    inherits_before: bool
    inherits_after: bool

    @property
    def is_change(self) -> bool:
        return (self.before, self.inherits_before) != (self.after, self.inherits_after)


@dataclass(frozen=True, slots=True)
class Planned:
    """One product's levels before and after, and what that does to its status."""

    product_id: int
    name: str
    sku: str
    threshold: Step
    low: Step
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
    """What would be done now; `mark` tells whether a later plan is the same."""

    def __init__(self, changes: list[Planned]) -> None:
        self.changes = changes

    @cached_property
    def shown(self) -> list[Planned]:
        """The changes, those that flip a status first."""
        return sorted(
            self.changes, key=lambda change: change.status_before == change.status_after
        )

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
    sold: Mapping[int, int] = {}
    if rule.operation == Operation.DAYS:
        sold = _sold(ids, now or timezone.now())

    def wanted(row: Stock) -> Levels:
        if rule.operation == Operation.INHERIT:
            return Levels(**{rule.field: None})
        return Levels(**{rule.field: _level(row, rule, sold.get(row.pk, 0))})

    return _plan(Stock.objects.filter(pk__in=ids), wanted, Defaults())


def plan_levels(levels: Mapping[int, Levels]) -> Plan:
    """What these levels would change; `levels` maps product id to what it is told."""
    rows = Stock.objects.filter(pk__in=list(levels))
    return _plan(rows, lambda row: levels[row.pk], Defaults())


def plan_default(changed: Store | Category) -> Plan:
    """What the heirs would get if `changed`, not saved yet, were the default.

    A category counts with its new parent, too.
    """
    return _plan(thresholds.heirs(), lambda row: Levels(), Defaults().having(changed))


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
    return _change(fresh, mark=mark, actor=actor, reason=reason)


@transaction.atomic
def apply_levels(
    levels: Mapping[int, Levels],
    *,
    mark: str,
    actor: "User | None" = None,
    reason: str = "",
) -> UUID:
    """The same for a number per product. Raises PlanIsStale."""
    thresholds.hold()
    stock.lock(levels)
    fresh = plan_levels(levels)
    return _change(fresh, mark=mark, actor=actor, reason=reason)


def check_default(changed: Store | Category, *, mark: str) -> None:
    """Lock what `changed` would rewrite; raise PlanIsStale unless `mark` showed it.

    Part of the caller's transaction, which then saves the default. A change that
    rewrites nothing needs no mark.
    """
    thresholds.hold()
    stock.lock([change.product_id for change in plan_default(changed).changes])
    fresh = plan_default(changed)
    if fresh.changes and fresh.mark != mark:
        raise PlanIsStale(fresh)


def _change(
    fresh: Plan, *, mark: str, actor: "User | None" = None, reason: str = ""
) -> UUID:
    if fresh.mark != mark:
        raise PlanIsStale(fresh)
    levels = {
        change.product_id: Levels(_told(change.threshold), _told(change.low))
        for change in fresh.changes
    }
    return thresholds.change(levels, actor=actor, reason=reason)


def _told(step: Step) -> int | None:
    return None if step.inherits_after else step.after


def _plan(
    rows: QuerySet[Stock], wanted: Callable[[Stock], Levels], defaults: Defaults
) -> Plan:
    changes = []
    needed = rows.select_related("product").only(*NEEDED)
    for row in needed.order_by("product__name", "pk"):
        category_id = row.product.category_id
        target = thresholds.target(row, wanted(row), defaults, category_id)
        if target != thresholds.present(row):
            changes.append(_planned(row, target))
    return Plan(changes)


def _planned(row: Stock, target: Target) -> Planned:
    return Planned(
        product_id=row.pk,
        name=row.product.name,
        sku=row.product.sku,
        threshold=Step(
            row.safety_threshold,
            target.safety_threshold,
            row.inherits_threshold,
            target.inherits_threshold,
        ),
        low=Step(
            row.low_stock_level,
            target.low_stock_level,
            row.inherits_low_stock_level,
            target.inherits_low_stock_level,
        ),
        status_before=StockStatus(row.status),
        status_after=stock_status(
            row.on_hand - row.reserved,
            safety_threshold=target.safety_threshold,
            low_stock_level=target.low_stock_level,
        ),
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
