"""What a product file would change in the shop: each value, old and new; or why not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from django.db.models import F
from django.utils.translation import gettext as _

from catalog import copying, product_values, stock, thresholds
from catalog.files import cells, ours, skus
from catalog.files.drafts import Notice
from catalog.files.formats import ProductFile, Row, Value
from catalog.models import Product
from catalog.product_values import Current

NEEDED = ("name", "price")
SHOWN = 60


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value of a product, as it is and as the file wants it."""

    column: str
    old: Value
    new: Value

    @property
    def delta(self) -> int:
        """Units that come or go; 0 for every other column."""
        if self.column != "on_hand":
            return 0
        return int(str(self.new)) - int(str(self.old or 0))

    def __str__(self) -> str:
        text = f"{self.column} {shown(self.old)} -> {shown(self.new)}"
        return f"{text} ({self.delta:+d})" if self.delta else text


@dataclass(frozen=True, slots=True)
class Change:
    """What one line does to one product; a new one has the id 0."""

    line: int
    sku: str
    name: str
    product_id: int
    has_stock: bool
    fields: tuple[FieldChange, ...]

    @property
    def values(self) -> dict[str, Any]:
        """The new values by column."""
        return {change.column: change.new for change in self.fields}

    @property
    def on_hand_delta(self) -> int:
        return sum(change.delta for change in self.fields)

    def shown(self) -> dict[str, Any]:
        """The change as plain values for people."""
        return {
            "line": self.line,
            "sku": self.sku,
            "name": self.name,
            "fields": [str(field) for field in self.fields],
        }


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be taken; with one of them nothing is imported."""

    line: int
    sku: str
    reason: str

    def __str__(self) -> str:
        where = _("line %(line)d") % {"line": self.line}
        name = f" ({self.sku})" if self.sku else ""
        return f"{where}{name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of what a file would do, against the shop of this moment."""

    file_name: str
    file: ProductFile
    created: list[Change]
    changed: list[Change]
    unchanged: int
    bad_lines: list[BadLine]
    notices: list[Notice]

    @property
    def changes(self) -> list[Change]:
        return [*self.created, *self.changed]

    @property
    def on_hand_delta(self) -> int:
        return sum(change.on_hand_delta for change in self.changes)

    @property
    def mark(self) -> str:
        """A short sign of what would be done; the same sign, the same doings."""
        doings = repr((self.created, self.changed, self.bad_lines))
        return sha256(doings.encode()).hexdigest()

    def report(self, *, most: int) -> dict[str, Any]:
        """The plan for people, in plain values: how many, the first of each kind."""
        return {
            "format": self.file.format,
            "rows": len(self.file.rows),
            "created": len(self.created),
            "changed": len(self.changed),
            "unchanged": self.unchanged,
            "on_hand_delta": self.on_hand_delta,
            "bad": len(self.bad_lines),
            "bad_lines": [asdict(bad) for bad in self.bad_lines[:most]],
            "new_rows": [change.shown() for change in self.created[:most]],
            "changed_rows": [change.shown() for change in self.changed[:most]],
            "notices": [asdict(notice) for notice in self.notices[:most]],
        }


def make(file: ProductFile, file_name: str, *, lock: bool = False) -> Plan:
    """Compare the file with the shop; with `lock`, nobody changes it until commit.

    Takes the store's defaults, then products, then stock, each in primary-key order.
    """
    current = _current(file.rows, lock=lock)
    owners = {sku: _owner(found) for sku, found in current.items()}
    assigned = skus.assign(file.rows, owners)
    plan = Plan(file_name, file, [], [], 0, [], [*file.notices])
    unchanged = 0
    lines: dict[str, int] = {}
    for row in file.rows:
        sku = assigned[row.line]
        found = current.get(sku)
        problems = [*row.problems, *_problems(row, found)]
        if sku and lines.setdefault(sku, row.line) != row.line:
            text = _("the SKU stands in line %(line)d already")
            problems.append(text % {"line": lines[sku]})
        if problems:
            plan.bad_lines.append(BadLine(row.line, sku, "; ".join(problems)))
        elif found is None:
            plan.created.append(_creation(row, sku, plan.notices))
        elif fields := _differences(row, found):
            name = str(row.values.get("name", found.values["name"]))
            change = Change(
                row.line, sku, name, found.product_id, found.has_stock, fields
            )
            plan.changed.append(change)
        else:
            unchanged += 1
    return replace(plan, unchanged=unchanged)


def shown(value: Value) -> str:
    """A value as a merchant reads it."""
    if value is None or value in ("", ()):
        return _("(empty)")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, tuple):
        return cells.path_text(value)
    text = " ".join(str(value).split())
    return f"{text[:SHOWN]}…" if len(text) > SHOWN else text


def _problems(row: Row, found: Current | None) -> list[str]:
    if found is None:
        missing = [] if row.problems else [n for n in NEEDED if n not in row.values]
        text = _("a new product needs %(names)s")
        return [text % {"names": " and ".join(missing)}] if missing else []
    on_hand = row.values.get("on_hand")
    if isinstance(on_hand, int) and on_hand < found.promised:
        text = _(
            "on_hand: %(promised)d units are promised to orders and flash sales, "
            "so it cannot be %(on_hand)d"
        )
        return [text % {"promised": found.promised, "on_hand": on_hand}]
    return []


def _creation(row: Row, sku: str, notices: list[Notice]) -> Change:
    values = {**row.for_new, **row.values}
    if "on_hand" not in values:
        text = _("%(sku)s comes without a number of units, so it starts with 0.")
        notices.append(Notice(row.line, text % {"sku": sku}))
    fields = tuple(
        FieldChange(column, None, values[column])
        for column in ours.COLUMNS
        if values.get(column, "") not in (None, "", ())
    )
    return Change(row.line, sku, str(values["name"]), 0, False, fields)


def _differences(row: Row, found: Current) -> tuple[FieldChange, ...]:
    return tuple(
        FieldChange(column, found.values[column], row.values[column])
        for column in ours.COLUMNS
        if column in row.values
        and _comparable(found.values[column]) != _comparable(row.values[column])
    )


def _comparable(value: Value) -> Value:
    """Two values are the same when a merchant sees no difference."""
    if isinstance(value, tuple):
        return tuple(" ".join(name.split()).casefold() for name in value)
    if isinstance(value, str):
        lines = value.replace("\r\n", "\n").replace("\r", "\n")
        return cells.UNPRINTED.sub(" ", lines).strip()
    return value


def _owner(found: Current) -> skus.Owner:
    return skus.Owner(str(found.values["handle"]), str(found.values["name"]))


def _current(rows: Sequence[Row], *, lock: bool) -> dict[str, Current]:
    """The products that these rows may be about, by SKU."""
    wanted = skus.candidates(rows)
    products = Product.objects.filter(copying.AnyOf(F("sku"), wanted))
    if lock:
        thresholds.hold()
        locked = products.select_for_update(no_key=True).order_by("pk")
        pks = list(locked.values_list("pk", flat=True))
        if any("on_hand" in row.values for row in rows):  # else orders need not wait
            stock.hold(pks)
    return {found.sku: found for found in product_values.read(products)}
