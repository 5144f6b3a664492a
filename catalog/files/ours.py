"""Our own file: one line per product; a column left out leaves the shop as it is."""

from collections.abc import Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from typing import Any

from django.utils.translation import gettext as _

from catalog.files import cells
from catalog.files.drafts import Draft, Notice, Record, in_order, table
from catalog.files.sheets import Sheet

NAME = "Holdfast"
COLUMNS = (
    "sku",
    "name",
    "price",
    "compare_at_price",
    "on_hand",
    "safety_threshold",
    "low_stock_level",
    "category",
    "vendor",
    "description",
    "handle",
    "published",
)
NEEDS = "sku, and for new products name and price"
# Other exports of ours have these; they are results, there is nothing to import.
COMPUTED = {"reserved", "allocated", "available", "sellable", "status"}
LIKENESS = 0.75
MOST_NAMED = 8
KEPT_WHEN_EMPTY = {"on_hand", "handle", "published"}


def is_known(header: Sequence[str]) -> bool:
    """True for our columns in any order, with at least one beside the SKU."""
    return {"sku"} < set(names(header)) <= {*COLUMNS, *COMPUTED}


def names(header: Sequence[str]) -> list[str]:
    """Column names as we write them: "On hand" is on_hand."""
    found = ["_".join(name.lower().split()) for name in header]
    return ["published" if name == "is_published" else name for name in found]


def strange(header: Sequence[str]) -> str:
    """The columns that are not ours, each with the one it may be meant for."""
    told = []
    for text, name in zip(header, names(header), strict=True):
        if name not in {*COLUMNS, *COMPUTED}:
            near = get_close_matches(name, COLUMNS, n=1, cutoff=LIKENESS)
            meant = _(" (do you mean “%(name)s”?)") % {"name": near[0]} if near else ""
            told.append(cells.shown(text) + meant)
    if len(told) > MOST_NAMED:
        told[MOST_NAMED:] = [_("%(count)d more") % {"count": len(told) - MOST_NAMED}]
    return ", ".join(told)


def read(sheet: Sheet, today: date, notices: list[Notice]) -> list[Draft]:
    """A draft per line."""
    header = names(sheet.header)
    if computed := [name for name in header if name in COMPUTED]:
        text = _("These columns are computed, so they are not imported: %(names)s.")
        notices.append(Notice(1, text % {"names": ", ".join(computed)}))
    found = table(sheet, header, guarded=True)
    return in_order(map(_draft, found.records), found.misshapen)


def _draft(numbered: tuple[int, Record]) -> Draft:
    line, record = numbered
    draft = Draft(line, sku=record["sku"])
    draft.texts = {
        name: text
        for name, text in record.items()
        if name in COLUMNS[1:] and (text or name not in KEPT_WHEN_EMPTY)
    }
    if not draft.sku:
        draft.problems.append(_("sku: a SKU is needed"))
    return draft


def cells_of(values: Mapping[str, Any]) -> list[str]:
    """One line of our own file; `read` gives the same values back."""
    return [_cell(column, values[column]) for column in COLUMNS]


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if column == "category":
        return cells.guarded(cells.path_text(value))
    return cells.guarded(value) if isinstance(value, str) else str(value)
