"""Safety thresholds and low-stock levels: who inherits them from whom.

Product, else category, else its parents, else store. The effective number stands on the
Stock row; changing a default rewrites all heirs, with their status changes, in the same
transaction.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from catalog import copying, stock
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

    def number(self, category_id: int | None, field: str) -> int:
        """The same number alone, for thousands of products."""
        number: int = getattr(self.source_of(category_id, field), field)
        return number

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
    stock.hold(levels)
    rows = Stock.objects.filter(copying.AnyOf(F("pk"), levels))
    if expected_version is not None:
        for row in rows.exclude(version=expected_version).order_by("pk"):
            raise stock.VersionConflict(row)
    defaults = Defaults()
    targets = {
        pk: wanted
        for pk, category_id, now in present(rows)
        if (wanted := target(now, levels[pk], defaults, category_id)) != now
    }
    return write(targets, actor=actor, reason=reason)


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
    return _rewrite_heirs(
        batch=undoing,
        actor=actor,
        reason=f"undo {batch}",
        putting_back=_made_by(batch),
    )


class Target(NamedTuple):
    """Both levels of one product as they stand on its row."""

    safety_threshold: int
    low_stock_level: int
    inherits_threshold: bool
    inherits_low_stock_level: bool


TARGET = Target._fields


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
    putting_back: Mapping[int, tuple[Target, Target]] = MappingProxyType({}),
) -> UUID:
    """Bring all heirs up to date, and put back what a batch changed."""
    defaults = Defaults()
    doubtful = {
        pk
        for pk, category_id, now in present(heirs())
        if target(now, Levels(), defaults, category_id) != now
    }
    doubtful |= putting_back.keys()
    stock.hold(doubtful)
    targets = {}
    for pk, category_id, now in present(
        Stock.objects.filter(copying.AnyOf(F("pk"), doubtful))
    ):
        before, after = putting_back.get(pk, (now, None))
        levels = _told(before) if now == after else Levels()
        wanted = target(now, levels, defaults, category_id)
        if wanted != now:
            targets[pk] = wanted
    return write(targets, batch=batch, actor=actor, reason=reason)


def _made_by(batch: UUID) -> dict[int, tuple[Target, Target]]:
    """What a batch changed: each product's levels before and after."""
    names = [f"{name}_{when}" for when in ("before", "after") for name in TARGET]
    rows = ThresholdChange.objects.filter(batch=batch)
    return {
        pk: (Target._make(levels[:4]), Target._make(levels[4:]))
        for pk, *levels in rows.values_list("product_id", *names)
    }


def _told(levels: Target) -> Levels:
    """What a product is told to have these levels."""
    return Levels(
        None if levels.inherits_threshold else levels.safety_threshold,
        None if levels.inherits_low_stock_level else levels.low_stock_level,
    )


def present(rows: QuerySet[Stock]) -> Iterator[tuple[int, int | None, Target]]:
    """Each row's product, its category, and the levels it has now."""
    found = rows.order_by("pk").values_list("pk", "product__category_id", *TARGET)
    return ((pk, category_id, Target._make(now)) for pk, category_id, *now in found)


def target(
    now: Target, levels: Levels, defaults: Defaults, category_id: int | None
) -> Target:
    """The levels a row gets when it is told `levels`, its category being this one."""
    threshold, level = levels.safety_threshold, levels.low_stock_level
    if threshold is KEEP:
        threshold = None if now.inherits_threshold else now.safety_threshold
    if level is KEEP:
        level = None if now.inherits_low_stock_level else now.low_stock_level
    return Target(
        defaults.number(category_id, "safety_threshold")
        if threshold is None
        else _checked(threshold),
        defaults.number(category_id, "low_stock_level")
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


# One statement, so that not a row of the ledger passes through Python. `before` is the
# row as it was under our lock.
WRITE = """
WITH told AS (
    SELECT * FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::bool[], %s::bool[])
    AS told (product_id, threshold, level, inherits_threshold, inherits_level)
), written AS (
    UPDATE catalog_stock AS stock
    SET safety_threshold = threshold, low_stock_level = level,
        inherits_threshold = told.inherits_threshold,
        inherits_low_stock_level = inherits_level,
        version = stock.version + 1, updated_at = statement_timestamp()
    FROM told JOIN catalog_stock AS before USING (product_id)
    WHERE stock.product_id = told.product_id
    RETURNING told.*, stock.status, before.status AS status_before,
        before.safety_threshold AS threshold_before,
        before.low_stock_level AS level_before,
        before.inherits_threshold AS inherits_threshold_before,
        before.inherits_low_stock_level AS inherits_level_before
), ledger AS (
    INSERT INTO catalog_thresholdchange (batch, product_id,
        safety_threshold_before, safety_threshold_after,
        low_stock_level_before, low_stock_level_after,
        inherits_threshold_before, inherits_threshold_after,
        inherits_low_stock_level_before, inherits_low_stock_level_after,
        reason, actor_id, created_at)
    SELECT %s, product_id, threshold_before, threshold, level_before, level,
        inherits_threshold_before, inherits_threshold,
        inherits_level_before, inherits_level, %s, %s, statement_timestamp()
    FROM written ORDER BY product_id
)
SELECT product_id, status_before FROM written WHERE status <> status_before
"""


def write(
    targets: Mapping[int, Target],
    *,
    batch: UUID | None = None,
    actor: "User | None" = None,
    reason: str = "",
) -> UUID:
    """Give rows levels that they do not have yet; return the batch.

    The caller holds the rows' locks, and the defaults', and has worked out the levels
    under them.
    """
    batch = batch or uuid4()
    if not targets:
        return batch
    columns = map(copying.array, (targets, *zip(*targets.values(), strict=True)))
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [*columns, batch, reason, actor.pk if actor else None])
        flipped = dict(cursor.fetchall())
    fresh = Stock.objects.filter(copying.AnyOf(F("pk"), flipped)).order_by("pk")
    stock.record_flips(flipped, fresh, cause=_cause(batch))
    stock.follow(targets)
    return batch


def _cause(batch: UUID) -> str:
    return f"thresholds:{batch}"
