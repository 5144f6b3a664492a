"""What the formats have in common: records by column name, and drafts of products."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.utils.text import slugify
from django.utils.translation import gettext as _

from catalog.files import cells
from catalog.files.sheets import Line, Sheet

Record = Mapping[str, str]


@dataclass(slots=True)
class Draft:
    """What a file says of one product, as texts by the names of our columns.

    `key` names the product in its own shop: what a missing SKU is made from.
    `for_new` is only used when the product is not there yet. `labels` are the file's
    own names for our columns, for messages.
    """

    line: int
    sku: str = ""
    key: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)
    for_new: dict[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def drop_empty(self) -> None:
        """In another shop's file, what is not said leaves ours alone."""
        self.texts = {name: text for name, text in self.texts.items() if text}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something in a line that was passed over, and why."""

    line: int
    text: str


@dataclass(slots=True)
class Table:
    """A sheet whose cells are found by lower-case column names.

    Lines with too few or too many cells are in `misshapen`, not in `records`.
    """

    names: list[str]
    records: list[tuple[int, Record]]
    misshapen: list[Draft]


def lower_names(header: Sequence[str]) -> list[str]:
    return [" ".join(name.split()).lower() for name in header]


def table(sheet: Sheet, names: list[str], *, guarded: bool) -> Table:
    """The sheet by column names; `guarded` files disarm formulas with a mark."""
    made = Table(names, [], [])
    for line in sheet.lines:
        if len(line.cells) < len(names) or any(line.cells[len(names) :]):
            made.misshapen.append(_misshapen(line, len(names)))
            continue
        texts = map(cells.unguarded, line.cells) if guarded else line.cells
        made.records.append((line.number, dict(zip(names, texts, strict=False))))
    return made


def _misshapen(line: Line, expected: int) -> Draft:
    problem = _("%(found)d cells, but the header has %(expected)d") % {
        "found": len(line.cells),
        "expected": expected,
    }
    return Draft(line.number, problems=[problem])


def with_options(name: str, options: Sequence[str]) -> str:
    """The name of a variant: "Clay pot - Large / Red"."""
    return " - ".join(filter(None, [name, " / ".join(options)]))


def handle_of(text: str) -> str:
    """A handle for any text; one without letters of ours gets its code."""
    coded = f"product-{text.encode().hex()[:40]}" if text else ""
    return slugify(text)[:160] or coded


def in_order(drafts: Iterator[Draft], misshapen: list[Draft]) -> list[Draft]:
    """All drafts by line, so that the report reads like the file."""
    return sorted([*drafts, *misshapen], key=lambda draft: draft.line)
