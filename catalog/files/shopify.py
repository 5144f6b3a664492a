"""Shopify's product export: one line per variant or picture, grouped by handle.

Title, vendor, type and text stand only in the first line of a handle. Both sets of
column names are known, the one until 2024 and the one since.
"""

from collections.abc import Mapping, Sequence
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

NAME = "Shopify"
NEEDS = "Handle, Title, Variant Price"
COLUMNS = {
    "handle": ("handle", "url handle"),
    "title": ("title",),
    "description": ("body (html)", "description"),
    "vendor": ("vendor",),
    "type": ("type",),
    "published": ("published", "published on online store"),
    "status": ("status",),
    "sku": ("variant sku", "sku"),
    "on_hand": ("variant inventory qty", "inventory quantity"),
    "price": ("variant price", "price"),
    "compare_at_price": ("variant compare at price", "compare-at price"),
    "option1": ("option1 value",),
    "option2": ("option2 value",),
    "option3": ("option3 value",),
}
OPTIONS = ("option1", "option2", "option3")
OF_A_VARIANT = ("sku", "price", "on_hand", *OPTIONS)
NO_OPTION = "default title"
NOT_ON_SALE = {"draft", "archived", "unlisted"}


def is_known(header: Sequence[str]) -> bool:
    names = set(lower_names(header))
    return {"handle", "title", "variant price"} <= names or (
        {"url handle", "title", "price"} <= names
    )


def read(sheet: Sheet, today: date, notices: list[Notice]) -> list[Draft]:
    """A draft per variant; lines that only add a picture give none."""
    columns = _columns(sheet.header)
    labels = {ours: sheet.header[index] for index, ours in columns.items()}
    names = [columns.get(index, "") for index in range(len(sheet.header))]
    found = table(sheet, names, guarded=False)
    parents: dict[str, Record] = {}
    for _line, record in found.records:
        if record["title"]:
            parents.setdefault(record["handle"], record)
    drafts = (
        _draft(line, record, parents.get(record["handle"], record), labels)
        for line, record in found.records
        if _is_variant(record, parents)
    )
    return in_order(drafts, found.misshapen)


def _columns(header: Sequence[str]) -> dict[int, str]:
    """Where our columns stand; of two names for one thing the first counts."""
    names = lower_names(header)
    found: dict[int, str] = {}
    for ours, theirs in COLUMNS.items():
        for name in theirs:
            if name in names and ours not in found.values():
                found[names.index(name)] = ours
    return found


def _is_variant(record: Record, parents: Mapping[str, Record]) -> bool:
    if not record["handle"] or parents.get(record["handle"]) is record:
        return True
    return any(record.get(name) for name in OF_A_VARIANT)


def _draft(
    line: int, record: Record, parent: Record, labels: Mapping[str, str]
) -> Draft:
    values = [record.get(name, "") for name in OPTIONS]
    options = [text for text in values if text and text.lower() != NO_OPTION]
    draft = Draft(line, sku=record.get("sku", ""), labels=labels)
    draft.key = (record["handle"], *options)
    if not record["handle"]:
        draft.problems.append(_("Handle: a handle is needed"))
    draft.texts = {
        "name": with_options(parent["title"], options) if parent["title"] else "",
        "price": record["price"],
        "on_hand": record.get("on_hand", ""),
        "vendor": parent.get("vendor", ""),
        "category": cells.path_text((parent.get("type", ""),)),
        "description": cells.plain_text(parent.get("description", "")),
        "handle": handle_of(record["handle"]),
        "published": _published(parent, draft.problems),
    }
    draft.drop_empty()
    if "compare_at_price" in record:
        draft.texts["compare_at_price"] = record["compare_at_price"]
    return draft


def _published(parent: Record, problems: list[str]) -> str:
    status = parent.get("status", "").lower()
    if status in NOT_ON_SALE:
        return "no"
    if status not in {"", "active"}:
        text = _("Status: %(text)s is neither active, draft, archived nor unlisted")
        problems.append(text % {"text": cells.shown(status)})
    return parent.get("published", "")
