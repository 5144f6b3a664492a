"""Products and stock from a file: first what would change, then all of it or nothing.

`plan` reads a file and writes nothing. `apply` plans again under locks and refuses when
that is not what was shown, so an old preview cannot write over newer numbers; so does
`carry_out`, by the mark of what was shown. `load` does both for callers that show no
preview. One import runs at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from uuid import uuid4

from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.text import slugify

from catalog import categories, copying, import_plan, product_rows, stock, thresholds
from catalog.files import formats
from catalog.files.formats import ProductFile
from catalog.files.sheets import UnusableFile as UnusableFile
from catalog.import_plan import Change, Plan
from catalog.models import Category, Product
from catalog.product_values import Path
from catalog.thresholds import KEEP, Levels

if TYPE_CHECKING:
    from django.contrib.auth.models import User

LOCK = 0x696D706F7274  # "import": the advisory lock that lets one run at a time
BATCH = 2000
PLANNED = 0.25  # the share of the work that is done once the plan is made
Progress = Callable[[float], None]
Row = TypeVar("Row")
# Columns of a file that are columns of Product, by their names there.
OF_PRODUCT = {
    "name": "name",
    "price": "price",
    "compare_at_price": "compare_at_price",
    "vendor": "vendor",
    "description": "description",
    "handle": "handle",
    "published": "is_published",
}
LEVELS = ("safety_threshold", "low_stock_level")


class ImportRefused(Exception):
    """Some lines are bad, so nothing was imported; they stand in the plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(f"{plan.file_name}: {len(plan.bad_lines)} bad lines")


class PlanIsStale(Exception):
    """The shop changed since the plan was made; `plan` says what would be done now."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(f"{plan.file_name}: the shop has changed since the preview")


@dataclass(frozen=True, slots=True)
class Result:
    """What was written."""

    plan: Plan
    created: int
    changed: int
    unchanged: int
    on_hand_delta: int


def plan(file: BinaryIO, *, name: str = "") -> Plan:
    """What the file would change; nothing is written or locked.

    Raises UnusableFile when nothing of the file can be read.
    """
    return import_plan.make(_read(file), _name(file, name))


def apply(shown: Plan, *, actor: "User | None" = None) -> Result:
    """Do what the plan says, all or nothing.

    Raises ImportRefused when lines are bad, PlanIsStale when the shop has changed so
    that the file would now do something else.
    """
    return _run(shown.file, shown.file_name, actor, mark=shown.mark)


def carry_out(
    file: BinaryIO,
    *,
    name: str,
    mark: str,
    actor: "User | None" = None,
    progress: Progress | None = None,
) -> Result:
    """Do what a plan with this mark said, as `apply` does.

    `progress` hears how much of the work is done, between 0 and 1, and must not touch
    the transaction. Raises UnusableFile, ImportRefused, PlanIsStale.
    """
    tell = progress or _tell_nobody
    read = _read(file)
    tell(0.1)
    return _run(read, name, actor, mark=mark, tell=tell)


def hold() -> None:
    """Keep every other import waiting until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def load(file: BinaryIO, *, name: str = "", actor: "User | None" = None) -> Result:
    """Import the file against the shop as it is, all or nothing.

    Raises UnusableFile, ImportRefused; PlanIsStale when somebody made a
    product of the file at the same moment, and it is worth another try.
    """
    return _run(_read(file), _name(file, name), actor)


def _read(file: BinaryIO) -> ProductFile:
    return formats.read(file, today=timezone.localdate())


def _name(file: BinaryIO, name: str) -> str:
    return name or PurePath(str(getattr(file, "name", "") or "file.csv")).name


def _tell_nobody(_share: float) -> None:
    pass


def _run(
    file: ProductFile,
    name: str,
    actor: "User | None",
    mark: str = "",
    tell: Progress = _tell_nobody,
) -> Result:
    try:
        with transaction.atomic():
            return _run_locked(file, name, actor, mark, tell)
    except IntegrityError:
        # Somebody made a product or a category with the same SKU or slug meanwhile.
        raise PlanIsStale(import_plan.make(file, name)) from None


def _run_locked(
    file: ProductFile, name: str, actor: "User | None", mark: str, tell: Progress
) -> Result:
    hold()
    fresh = import_plan.make(file, name, lock=True)
    if fresh.bad_lines:
        raise ImportRefused(fresh)
    if mark and fresh.mark != mark:
        raise PlanIsStale(fresh)
    tell(PLANNED)
    _Writer(fresh, actor, tell).write()
    return Result(
        fresh,
        created=len(fresh.created),
        changed=len(fresh.changed),
        unchanged=fresh.unchanged,
        on_hand_delta=fresh.on_hand_delta,
    )


class _Writer:
    """Writes one plan, inside the transaction that locked what it is about."""

    def __init__(self, plan: Plan, actor: "User | None", tell: Progress) -> None:
        self.plan = plan
        self.actor = actor
        self.tell = tell
        self.done = 0  # rows written, as products and as stock
        self.note = stock.Note(cause=f"import:{plan.file_name}"[:120], actor=actor)
        self.reason = f"import of {plan.file_name}"[:100]
        self.shelves: dict[Path, int] = {}

    def write(self) -> None:
        if not self.plan.changes:
            return
        self._find_shelves()
        created = self._create_products()
        self._change_products()
        self._open_stock(created)
        self._change_levels()
        self._count_stock()

    def _parts(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """The rows in parts, with word of how far the work is after each."""
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            yield part
            self.done += len(part)
            share = min(1.0, self.done / (2 * len(self.plan.changes)))
            self.tell(PLANNED + (1 - PLANNED) * share)

    # -- Categories -------------------------------------------------------------------

    def _find_shelves(self) -> None:
        """The category of every path, by folded names; new ones are made."""
        for node in categories.tree():
            path = tuple(above.name for above in node.trail)
            self.shelves.setdefault(_folded(path), node.category.pk)
        for change in self.plan.changes:
            path = change.values.get("category") or ()
            for depth in range(1, len(path) + 1):
                if _folded(path[:depth]) not in self.shelves:
                    self._make_shelf(path[:depth])

    def _make_shelf(self, path: Path) -> None:
        category = Category(
            name=path[-1],
            parent_id=self._shelf(path[:-1]),
            slug=_category_slug(path),
        )
        category._change_reason = self.reason  # type: ignore[attr-defined]
        category.save()
        self.shelves[_folded(path)] = category.pk

    def _shelf(self, path: Path) -> int | None:
        return self.shelves[_folded(path)] if path else None

    # -- Products ---------------------------------------------------------------------

    def _create_products(self) -> list[tuple[Product, Change]]:
        slugs = _product_slugs(self.plan.created)
        products = []
        for change in self.plan.created:
            product = Product(sku=change.sku, slug=slugs[change.sku])
            product.handle = _slug(change.name, change.sku)[:160]
            self._set(product, change)
            products.append(product)
        for part in self._parts(products):
            product_rows.create(part, actor=self.actor, reason=self.reason)
        return list(zip(products, self.plan.created, strict=True))

    def _change_products(self) -> None:
        columns = {*OF_PRODUCT, "category"}
        changes = {
            change.product_id: change
            for change in self.plan.changed
            if columns & change.values.keys()
        }
        if not changes:
            return
        rows = Product.objects.defer("search").order_by("pk")
        products = list(rows.filter(copying.AnyOf(F("pk"), changes)))
        fields = set()
        for product in products:
            fields |= self._set(product, changes[product.pk])
        for part in self._parts(products):
            product_rows.change(part, fields, actor=self.actor, reason=self.reason)

    def _set(self, product: Product, change: Change) -> set[str]:
        """Put the change's values on the product; return which fields they are."""
        fields = set()
        for column, value in change.values.items():
            if field := OF_PRODUCT.get(column):
                setattr(product, field, value)
                fields.add(field)
            elif column == "category":
                product.category_id = self._shelf(value)
                fields.add("category")
        return fields

    # -- Stock ------------------------------------------------------------------------

    def _open_stock(self, created: Iterable[tuple[Product, Change]]) -> None:
        """Stock rows for new products, and for old ones that never had any."""
        defaults = thresholds.Defaults()
        openings = [
            _opening(product.pk, product.category_id, change.values, defaults)
            for product, change in created
        ]
        stockless = {c.product_id: c for c in self.plan.changed if not c.has_stock}
        old = Product.objects.filter(copying.AnyOf(F("pk"), stockless))
        for pk, category_id in old.values_list("pk", "category_id"):
            openings.append(_opening(pk, category_id, stockless[pk].values, defaults))
        openings.sort(key=lambda opening: opening.product_id)
        for part in self._parts(openings):
            stock.open_many(part, kind=stock.Kind.IMPORT, note=self.note)

    def _change_levels(self) -> None:
        """Own levels, and what heirs inherit in another category."""
        levels = {}
        for change in self._with_stock():
            values = change.values
            if values.keys() & {*LEVELS, "category"}:
                levels[change.product_id] = Levels(
                    *(values.get(column, KEEP) for column in LEVELS)
                )
        if levels:
            thresholds.change(levels, actor=self.actor, reason=self.reason)

    def _count_stock(self) -> None:
        counts = {
            change.product_id: change.values["on_hand"]
            for change in self._with_stock()
            if "on_hand" in change.values
        }
        for part in self._parts(sorted(counts.items())):
            stock.adjust_many(dict(part), kind=stock.Kind.IMPORT, note=self.note)

    def _with_stock(self) -> Iterable[Change]:
        return (change for change in self.plan.changed if change.has_stock)


def _opening(
    product_id: int,
    category_id: int | None,
    values: Mapping[str, Any],
    defaults: thresholds.Defaults,
) -> stock.Opening:
    own = {column: values.get(column) for column in LEVELS}
    numbers = {
        column: defaults.of(category_id, column).number if level is None else level
        for column, level in own.items()
    }
    return stock.Opening(
        product_id,
        on_hand=values.get("on_hand", 0),
        inherits_threshold=own["safety_threshold"] is None,
        inherits_low_stock_level=own["low_stock_level"] is None,
        **numbers,
    )


def _folded(path: Path) -> Path:
    return tuple(" ".join(name.split()).casefold() for name in path)


# -- Slugs ----------------------------------------------------------------------------


def _slug(*texts: str) -> str:
    """The slug of the first text that has one."""
    return next(filter(None, map(slugify, texts)), "product")


def _product_slugs(created: Iterable[Change]) -> dict[str, str]:
    """A free slug for each new SKU: its name, else name and SKU, else with a code."""
    wanted = {}
    for change in created:
        short = _slug(change.name, change.sku)[:120]
        wanted[change.sku] = [short, f"{short}-{_slug(change.sku)}"[:200]]
    every = [slug for slugs in wanted.values() for slug in slugs]
    same = Product.objects.filter(copying.AnyOf(F("slug"), every))
    taken = set(same.values_list("slug", flat=True))
    found = {}
    for sku, slugs in wanted.items():
        code = f"{slugs[0]}-{uuid4().hex[:12]}"
        found[sku] = next(slug for slug in (*slugs, code) if slug not in taken)
        taken.add(found[sku])
    return found


def _category_slug(path: Path) -> str:
    """A free slug for a category: its name, else its path, else with a code."""
    short = _slug(path[-1])[:100]
    for slug in (short, _slug(" ".join(path))[:140]):
        if not Category.objects.filter(slug=slug).exists():
            return slug
    return f"{short}-{uuid4().hex[:12]}"
