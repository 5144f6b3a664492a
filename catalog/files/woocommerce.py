"""WooCommerce's product export: simple products, and variable ones with variations.

A variation takes from its parent, named by SKU or `id:NN`, what it does not say itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.translation import gettext as _

from catalog.files import cells
from catalog.files.drafts import (
    Draft,
    Notice,
    Record,
    handle_of,
    in_order,
    lower_names,
    table,
    with_options,
)
from catalog.files.sheets import Sheet

NAME = "WooCommerce"
NEEDS = "Type, SKU, Name, Regular price"
LABELS = {
    "name": "Name",
    "price": "Regular price",
    "compare_at_price": "Regular price",
    "on_hand": "Stock",
    "low_stock_level": "Low stock amount",
    "category": "Categories",
    "vendor": "Brands",
    "description": "Description",
    "published": "Published",
}
NOTHING: Record = {}


def is_known(header: Sequence[str]) -> bool:
    return {"type", "sku", "name", "regular price"} <= set(lower_names(header))


def read(sheet: Sheet, today: date, notices: list[Notice]) -> list[Draft]:
    """A draft per simple product and per variation."""
    found = table(sheet, lower_names(sheet.header), guarded=True)
    parents: dict[str, Record] = {}
    for _line, record in found.records:
        if "variable" in _types(record):
            names = record["sku"], f"id:{record.get('id', '')}"
            parents.update({name: record for name in names if name not in parents})
    parents.pop("", None)
    reader = _Reader(parents, today, notices)
    drafts = (reader.draft(line, record) for line, record in found.records)
    return in_order(filter(None, drafts), found.misshapen)


def _types(record: Record) -> set[str]:
    return {word.strip().lower() for word in record["type"].split(",")}


@dataclass(slots=True)
class _Reader:
    parents: Mapping[str, Record]
    today: date
    notices: list[Notice]

    def draft(self, line: int, record: Record) -> Draft | None:
        types = _types(record)
        if "variation" in types:
            return self._variation(line, record)
        if "simple" in types:
            return self._product(line, record, NOTHING)
        if "variable" not in types:
            text = _("%(type)s has no stock of its own; the line is passed over.")
            self._notice(line, text % {"type": cells.shown(record["type"])})
        return None

    def _variation(self, line: int, record: Record) -> Draft:
        name = record.get("parent", "").replace("id: ", "id:")
        parent = self.parents.get(name)
        draft = self._product(line, record, parent or NOTHING)
        if parent is None:
            text = _("Parent: the file has no variable product %(name)s")
            draft.problems.append(text % {"name": cells.shown(name)})
        return draft

    def _product(self, line: int, record: Record, parent: Record) -> Draft:
        group = parent or record
        options = _options(record) if parent else []
        number = record.get("id", "")
        draft = Draft(line, sku=record["sku"], labels=dict(LABELS))
        draft.key = ("woo", number) if number else (group["name"], *options)
        is_named = record["name"] and record["name"] != parent.get("name")
        draft.texts = {
            "name": record["name"]
            if is_named
            else with_options(group["name"], options),
            "on_hand": record.get("stock", ""),
            "low_stock_level": _inherited(record, parent, "low stock amount"),
            "category": _path(_inherited(record, parent, "categories")),
            "vendor": _brand(_inherited(record, parent, "brands")),
            "description": _description(record) or _description(parent),
            "published": _published(record, parent),
        }
        if draft.texts["on_hand"].lower() == "parent":
            draft.texts["on_hand"] = ""
            text = _("Stock is kept by the parent; count this variation by itself.")
            self._notice(line, text)
        draft.drop_empty()
        self._set_prices(draft, record)
        handle = group["sku"] or f"{group['name']} {group.get('id', '')}"
        draft.for_new["handle"] = handle_of(handle)
        return draft

    def _set_prices(self, draft: Draft, record: Record) -> None:
        """The sale price while the sale is on, and then the regular one as former."""
        regular, sale = record["regular price"], record.get("sale price", "")
        is_sale = bool(sale) and self._is_on(draft, record)
        if is_sale:
            draft.labels = {**LABELS, "price": "Sale price"}
        if price := sale if is_sale else regular:
            draft.texts["price"] = price
        if "sale price" in record:
            draft.texts["compare_at_price"] = regular if is_sale else ""

    def _is_on(self, draft: Draft, record: Record) -> bool:
        starts = record.get("date sale price starts", "")
        ends = record.get("date sale price ends", "")
        try:
            return (not starts or cells.day(starts) <= self.today) and (
                not ends or self.today <= cells.day(ends)
            )
        except cells.CellError as error:
            text = _("Date sale price: %(reason)s")
            draft.problems.append(text % {"reason": error})
            return False

    def _notice(self, line: int, text: str) -> None:
        self.notices.append(Notice(line, text))


def _inherited(record: Record, parent: Record, column: str) -> str:
    return record.get(column, "") or parent.get(column, "")


def _options(record: Record) -> list[str]:
    """The attribute values of a variation, in the order of their numbers."""
    numbered = {}
    for column, value in record.items():
        words = column.split()
        if words[:1] == ["attribute"] and words[2:] == ["value(s)"] and value:
            numbered[int(words[1]) if words[1].isdecimal() else 0] = value
    return [numbered[number] for number in sorted(numbered)]


def _path(text: str) -> str:
    """The first of the category paths."""
    found = cells.paths(text, separator=",")
    return cells.path_text(found[0]) if found else ""


def _brand(text: str) -> str:
    found = cells.paths(text, separator=",")
    return found[0][-1] if found else ""


def _description(record: Record) -> str:
    text = record.get("description", "") or record.get("short description", "")
    # A line end is written as \n, and a \n of the text itself as \\n.
    parts = [part.replace("\\n", "\n") for part in text.split("\\\\n")]
    return cells.plain_text("\\n".join(parts))


def _published(record: Record, parent: Record) -> str:
    """A variation is for sale if its parent is, and nothing that is hidden is."""
    for row in (record, parent):
        if row.get("visibility in catalog", "").lower() == "hidden":
            return "no"
    above = parent.get("published", "")
    return above if above.lower() in cells.NO else record.get("published", "")
