"""Safety thresholds and low-stock levels: who inherits them from whom.

Product, else category, else its parents, else store. The effective number stands on the
Stock row; changing a default rewrites all heirs, with their status changes, in the same
transaction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from catalog import stock
from catalog.models import Category, Product, Stock, Store, ThresholdChange

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class Keep(Enum):
    """The type of KEEP: no number can be mistaken for it."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True, slots=True)
class Levels:
    """What one product is told: a number, None to inherit, KEEP to leave it."""

    safety_threshold: int | Keep | None = KEEP
    low_stock_level: int | Keep | None = KEEP


@dataclass(frozen=True, slots=True)
class Default:
    """An inherited number and where it comes from, in words for people."""

    number: int
    origin: str


class Defaults:
    """The defaults of every category, read once."""

    def __init__(self) -> None:
        self._store = store()
        self._categories = {row.pk: row for row in Category.objects.all()}

    def of(self, category_id: int | None, field: str) -> Default:
        """The number a product of this category inherits for `field`."""
        source = self.source_of(category_id, field)
        origin = f"category {source}" if isinstance(source, Category) else "store"
        return Default(getattr(source, field), origin)

    def having(self, changed: Store | Category) -> "Defaults":
        """The same with `changed` in its place, whether or not it is saved."""
        if isinstance(changed, Store):
            self._store = changed
        else:
            self._categories[changed.pk] = changed
        return self

    def source_of(self, category_id: int | None, field: str) -> Store | Category:
        """Who gives a product of this category its number for `field`."""
        seen = set()
        while category_id is not None and category_id not in seen:
            seen.add(category_id)
            category = self._categories[category_id]
            if getattr(category, field) is not None:
                return category
            category_id = category.parent_id
        return self._store


def store() -> Store:
    """The store's defaults, made on first use."""
    return Store.objects.get_or_create(pk=1)[0]


def hold() -> Store:
    """The store's defaults, locked until the transaction ends.

    Everything that writes an inherited number holds this row first, so that no heir is
    written from a default that somebody else is just changing.
    """
    store()
    return Store.objects.select_for_update(no_key=True).get(pk=1)


def heirs() -> QuerySet[Stock]:
    """The rows that take at least one of their levels from a default."""
    return Stock.objects.filter(
        Q(inherits_threshold=True) | Q(inherits_low_stock_level=True)
    )


def origin(product: Product) -> str:
    """Where the product's threshold comes from: "product", "category X" or "store"."""
    if not product.stock.inherits_threshold:
        return "product"
    return Defaults().of(product.category_id, "safety_threshold").origin


@transaction.atomic
def change(
    levels: Mapping[int, Levels],
    *,
    expected_version: int | None = None,
    actor: "User | None" = None,
    reason: str = "",
) -> UUID:
    """Set the levels of products; return the batch id, by which it can be undone.

    Locks the stock rows in primary-key order. Raises VersionConflict when a row is not
    at `expected_version`, ValueError on a number out of range.
    """
    hold()
    defaults = Defaults()
    rows = stock.lock(levels)
    categories = _categories(rows)
    targets = {}
    for pk, row in rows.items():
        if expected_version is not None and row.version != expected_version:
            raise stock.VersionConflict(row)
        targets[pk] = target(row, levels[pk], defaults, categories[pk])
    return _apply(rows, targets, batch=uuid4(), actor=actor, reason=reason)


@transaction.atomic
def change_store(
    *,
    safety_threshold: int,
    low_stock_level: int,
    actor: "User | None" = None,
) -> UUID:
    """Set the store's defaults and rewrite every heir."""
    batch = uuid4()
    _set_default(hold(), safety_threshold, low_stock_level, batch)
    reason = "store defaults changed"
    return _rewrite_heirs(batch=batch, actor=actor, reason=reason)


@transaction.atomic
def change_category(
    category: Category,
    *,
    safety_threshold: int | None,
    low_stock_level: int | None,
    actor: "User | None" = None,
) -> UUID:
    """Set a category's defaults (None: inherit) and rewrite every heir."""
    batch = uuid4()
    hold()
    row = Category.objects.select_for_update(no_key=True).get(pk=category.pk)
    _set_default(row, safety_threshold, low_stock_level, batch)
    reason = f"defaults of {row.name} changed"
    return _rewrite_heirs(batch=batch, actor=actor, reason=reason)


@transaction.atomic
def inherit_again(*, actor: "User | None" = None, reason: str) -> UUID:
    """Rewrite the levels of every product that inherits and is not up to date."""
    hold()
    return _rewrite_heirs(batch=uuid4(), actor=actor, reason=reason)


@transaction.atomic
def undo(batch: UUID, *, actor: "User | None" = None) -> UUID:
    """Put back what a batch changed, where nobody has changed it since.

    A default that the batch set is put back too. A product that was an heir before is
    an heir again: it gets what its default is then.
    """
    hold()
    undoing = uuid4()
    _restore_defaults(batch, undoing)
    made = {row.product_id: row for row in ThresholdChange.objects.filter(batch=batch)}
    return _rewrite_heirs(
        batch=undoing, actor=actor, reason=f"undo {batch}", putting_back=made
    )


@dataclass(frozen=True, slots=True)
class Target:
    """Both levels of one product as they stand on its row."""

    safety_threshold: int
    low_stock_level: int
    inherits_threshold: bool
    inherits_low_stock_level: bool


TARGET = [field.name for field in fields(Target)]


def _set_default(
    row: Store | Category,
    safety_threshold: int | None,
    low_stock_level: int | None,
    batch: UUID,
) -> None:
    row.safety_threshold = _checked(safety_threshold)
    row.low_stock_level = _checked(low_stock_level)
    row._change_reason = _cause(batch)  # type: ignore[union-attr]
    row.save()


def _restore_defaults(batch: UUID, undoing: UUID) -> None:
    """Put back the defaults that a batch set and that still are what it set."""
    for model in (Store, Category):
        for after in model.history.filter(history_change_reason=_cause(batch)):
            before = after.prev_record
            row = model.objects.select_for_update(no_key=True).filter(pk=after.id)
            for now in row:
                if before and _default(now) == _default(after):
                    _set_default(now, *_default(before), undoing)


def _default(row: Store | Category) -> tuple[int | None, int | None]:
    return row.safety_threshold, row.low_stock_level


def _rewrite_heirs(
    *,
    batch: UUID,
    actor: "User | None",
    reason: str,
    putting_back: Mapping[int, ThresholdChange] = MappingProxyType({}),
) -> UUID:
    """Bring all heirs up to date, and put back what a batch changed."""
    defaults = Defaults()
    doubtful = {
        row.pk
        for row in heirs()
        .select_related("product")
        .only(*TARGET, "product__category_id")
        if target(row, Levels(), defaults, row.product.category_id) != present(row)
    }
    rows = stock.lock(doubtful | putting_back.keys())
    categories = _categories(rows)
    targets = {}
    for pk, row in rows.items():
        made = putting_back.get(pk)
        levels = _before(made) if made and present(row) == _after(made) else Levels()
        targets[pk] = target(row, levels, defaults, categories[pk])
    return _apply(rows, targets, batch=batch, actor=actor, reason=reason)


def _categories(rows: Iterable[int]) -> dict[int, int | None]:
    products = Product.objects.filter(pk__in=list(rows))
    return dict(products.values_list("pk", "category_id"))


def _before(made: ThresholdChange) -> Levels:
    return Levels(
        None if made.inherits_threshold_before else made.safety_threshold_before,
        None if made.inherits_low_stock_level_before else made.low_stock_level_before,
    )


def _after(made: ThresholdChange) -> Target:
    return Target(
        made.safety_threshold_after,
        made.low_stock_level_after,
        made.inherits_threshold_after,
        made.inherits_low_stock_level_after,
    )


def present(row: Stock) -> Target:
    """The levels a row has now."""
    return Target(*(getattr(row, name) for name in TARGET))


def target(
    row: Stock, levels: Levels, defaults: Defaults, category_id: int | None
) -> Target:
    """The levels a row gets when it is told `levels`, its category being this one."""
    threshold, level = levels.safety_threshold, levels.low_stock_level
    if threshold is KEEP:
        threshold = None if row.inherits_threshold else row.safety_threshold
    if level is KEEP:
        level = None if row.inherits_low_stock_level else row.low_stock_level
    return Target(
        defaults.of(category_id, "safety_threshold").number
        if threshold is None
        else _checked(threshold),
        defaults.of(category_id, "low_stock_level").number
        if level is None
        else _checked(level),
        threshold is None,
        level is None,
    )


def _checked(number: int | None) -> int:
    """The number itself if it is a possible level; None passes for "inherit"."""
    if number is not None and not 0 <= number <= settings.SHOP_MAX_QUANTITY:
        raise ValueError(
            f"a level must be from 0 to {settings.SHOP_MAX_QUANTITY}, got {number}"
        )
    return number  # type: ignore[return-value]


def _apply(
    rows: Mapping[int, Stock],
    targets: Mapping[int, Target],
    *,
    batch: UUID,
    actor: "User | None",
    reason: str,
) -> UUID:
    changed = {pk: t for pk, t in targets.items() if t != present(rows[pk])}
    groups: dict[Target, list[int]] = {}
    for pk, target in changed.items():
        groups.setdefault(target, []).append(pk)
    for target, pks in groups.items():
        Stock.objects.filter(pk__in=pks).update(
            safety_threshold=target.safety_threshold,
            low_stock_level=target.low_stock_level,
            inherits_threshold=target.inherits_threshold,
            inherits_low_stock_level=target.inherits_low_stock_level,
            version=F("version") + 1,
            updated_at=Now(),
        )
    ThresholdChange.objects.bulk_create(
        [
            _change_row(rows[pk], target, batch, actor, reason)
            for pk, target in changed.items()
        ],
        batch_size=2000,
    )
    before = {pk: rows[pk].status for pk in changed}
    fresh = Stock.objects.filter(pk__in=list(changed)).order_by("pk")
    stock.record_flips(before, fresh, cause=_cause(batch))
    if changed:
        stock.follow(changed)
    return batch


def _cause(batch: UUID) -> str:
    return f"thresholds:{batch}"


def _change_row(
    row: Stock, target: Target, batch: UUID, actor: "User | None", reason: str
) -> ThresholdChange:
    return ThresholdChange(
        batch=batch,
        product_id=row.pk,
        safety_threshold_before=row.safety_threshold,
        safety_threshold_after=target.safety_threshold,
        low_stock_level_before=row.low_stock_level,
        low_stock_level_after=target.low_stock_level,
        inherits_threshold_before=row.inherits_threshold,
        inherits_threshold_after=target.inherits_threshold,
        inherits_low_stock_level_before=row.inherits_low_stock_level,
        inherits_low_stock_level_after=target.inherits_low_stock_level,
        reason=reason,
        actor=actor,
    )
