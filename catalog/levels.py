"""Levels of many products at once: first what would change, then all of it.

By one rule for products, by a number for each (a file), or by a default that products
inherit. Planning writes nothing. Applying plans again under locks and refuses when that
is not what was shown. The change is one batch, undone as a whole.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet, Sum, TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog import copying, stock, thresholds
from catalog.models import Category, Stock, StockMovement, Store
from catalog.status import StockStatus, stock_status
from catalog.thresholds import Defaults, Levels, Target

if TYPE_CHECKING:
    from django.contrib.auth.models import User

WINDOW = timedelta(days=28)
NEEDED = (
    *("pk", "product__name", "product__sku", "product__category_id"),
    *("on_hand", "reserved", "allocated", "status"),
    *Target._fields,
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


class Row(NamedTuple):
    """What planning needs to know of one product."""

    product_id: int
    name: str
    sku: str
    category_id: int | None
    on_hand: int
    reserved: int
    allocated: int
    status: str
    levels: Target


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

    def wanted(row: Row) -> Levels:
        if rule.operation == Operation.INHERIT:
            return Levels(**{rule.field: None})
        return Levels(**{rule.field: _level(row, rule, sold.get(row.product_id, 0))})

    return _plan(_of(ids), wanted, Defaults())


def plan_levels(levels: Mapping[int, Levels]) -> Plan:
    """What these levels would change; `levels` maps product id to what it is told."""
    return _plan(_of(levels), lambda row: levels[row.product_id], Defaults())


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
    stock.hold(ids)
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
    stock.hold(levels)
    fresh = plan_levels(levels)
    return _change(fresh, mark=mark, actor=actor, reason=reason)


def check_default(changed: Store | Category, *, mark: str) -> None:
    """Lock what `changed` would rewrite; raise PlanIsStale unless `mark` showed it.

    Part of the caller's transaction, which then saves the default. A change that
    rewrites nothing needs no mark.
    """
    thresholds.hold()
    stock.hold([change.product_id for change in plan_default(changed).changes])
    fresh = plan_default(changed)
    if fresh.changes and fresh.mark != mark:
        raise PlanIsStale(fresh)


def _change(
    fresh: Plan, *, mark: str, actor: "User | None" = None, reason: str = ""
) -> UUID:
    if fresh.mark != mark:
        raise PlanIsStale(fresh)
    targets = {change.product_id: _target(change) for change in fresh.changes}
    return thresholds.write(targets, actor=actor, reason=reason)


def _target(change: Planned) -> Target:
    threshold, low = change.threshold, change.low
    return Target(
        threshold.after, low.after, threshold.inherits_after, low.inherits_after
    )


def _of(product_ids: Iterable[int]) -> QuerySet[Stock]:
    return Stock.objects.filter(copying.AnyOf(F("pk"), product_ids))


def _plan(
    rows: QuerySet[Stock], wanted: Callable[[Row], Levels], defaults: Defaults
) -> Plan:
    changes = []
    ordered = rows.order_by("product__name", "pk")
    for values in ordered.values_list(*NEEDED):
        row = Row._make((*values[:-4], Target._make(values[-4:])))
        target = thresholds.target(row.levels, wanted(row), defaults, row.category_id)
        if target != row.levels:
            changes.append(_planned(row, target))
    return Plan(changes)


def _planned(row: Row, target: Target) -> Planned:
    now = row.levels
    return Planned(
        product_id=row.product_id,
        name=row.name,
        sku=row.sku,
        threshold=Step(
            now.safety_threshold,
            target.safety_threshold,
            now.inherits_threshold,
            target.inherits_threshold,
        ),
        low=Step(
            now.low_stock_level,
            target.low_stock_level,
            now.inherits_low_stock_level,
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


def _level(row: Row, rule: Rule, sold: int) -> int:
    """The number the rule gives, kept within what a level can be."""
    if rule.operation == Operation.SET:
        wanted = rule.number
    elif rule.operation == Operation.ADD:
        wanted = getattr(row.levels, rule.field) + rule.number
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
            copying.AnyOf(F("product_id"), product_ids),
            kind=StockMovement.Kind.SALE,
            created_at__gt=now - WINDOW,
        )
        .order_by()
        .values_list("product")
        .annotate(Sum("on_hand_delta"))
    )
    return {product_id: -delta for product_id, delta in rows}
