"""The three formats side by side: known by their headers, read into the same rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache, partial
from typing import BinaryIO

from django.utils.text import slugify
from django.utils.translation import gettext as _

from catalog.files import cells, ours, sheets, shopify, woocommerce, workbooks
from catalog.files.cells import CellError
from catalog.files.drafts import Draft, Notice
from catalog.files.sheets import Sheet, UnusableFile

Value = str | int | bool | Decimal | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    needs: str
    is_known: Callable[[Sequence[str]], bool]
    read: Callable[[Sheet, date, list[Notice]], list[Draft]]


FORMATS = [
    Format(module.NAME, module.NEEDS, module.is_known, module.read)
    for module in (ours, shopify, woocommerce)
]


@dataclass(slots=True)
class Row:
    """What a file says of one product; `problems` say why it cannot be taken."""

    line: int
    sku: str
    key: tuple[str, ...]
    values: dict[str, Value]
    for_new: dict[str, Value]
    problems: list[str]


@dataclass(frozen=True, slots=True)
class ProductFile:
    """The rows of a file in their order, and how the file was understood."""

    format: str
    encoding: str
    rows: list[Row]
    notices: list[Notice]


def read(file: BinaryIO, *, today: date) -> ProductFile:
    """The file's rows; `today` says which dated sales of another shop are on.

    Raises UnusableFile.
    """
    sheet = sheets.read(file, is_known=lambda header: _find(header) is not None)
    found = _find(sheet.header)
    if found is None:
        raise UnusableFile(_unknown(sheet.header))
    _refuse_repeated(sheet.header)
    notices = _about_encoding(sheet.encoding)
    drafts = found.read(sheet, today, notices)
    rows = [_row(draft, has_commas=sheet.delimiter == ";") for draft in drafts]
    if not rows:
        raise UnusableFile(_("The file has no products, only lines that add to some."))
    return ProductFile(found.name, sheet.encoding, rows, notices)


def _about_encoding(encoding: str) -> list[Notice]:
    if encoding in (sheets.UTF8, workbooks.XLSX):
        return []
    text = _(
        "The file is not UTF-8 and was read as %(name)s. If accented letters look "
        'wrong, save it again as "CSV UTF-8".'
    )
    return [Notice(1, text % {"name": encoding})]


def _find(header: Sequence[str]) -> Format | None:
    return next((found for found in FORMATS if found.is_known(header)), None)


def _unknown(header: Sequence[str]) -> str:
    """Why no format fits: what is wrong with a header like ours, or what all need."""
    if "sku" in ours.names(header):
        known = {"known": ", ".join(ours.COLUMNS)}
        if strange := ours.strange(header):
            return _(
                "Unknown columns: %(strange)s. Remove or rename them; the columns are "
                "%(known)s."
            ) % {"strange": strange, **known}
        return _(
            "The file has only the column “sku”. Add what is to change; the columns "
            "are %(known)s."
        ) % {**known}
    needs = "; ".join(f"{found.name}: {found.needs}" for found in FORMATS)
    return _(
        "The first line is not a header we know: %(header)s. These columns are needed: "
        "%(needs)s."
    ) % {"header": cells.shown(", ".join(header)), "needs": needs}


def _refuse_repeated(header: Sequence[str]) -> None:
    names = [name.lower() for name in header if name]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UnusableFile(
            _("These columns stand twice in the header: %(names)s. Remove one of each.")
            % {"names": ", ".join(map(cells.shown, repeated))}
        )


# -- Texts to values ------------------------------------------------------------------


def _needed(parse: Callable[[str], Value], text: str) -> Value:
    if not text:
        raise CellError(_("it is empty, but needed"))
    return parse(text)


def _or_none(parse: Callable[[str], Value], text: str) -> Value:
    return parse(text) if text else None


@lru_cache(maxsize=1000)
def _category(text: str) -> Value:
    found = cells.paths(text)
    return tuple(cells.line_of_text(name, 120) for name in found[0]) if found else ()


def _handle(text: str) -> Value:
    handle = slugify(cells.line_of_text(text, 160))[:160]
    if not handle:
        raise CellError(
            _("%(text)s has no letter from a to z and no digit")
            % {"text": cells.shown(text)}
        )
    return handle


PARSERS: dict[str, Callable[[str], Value]] = {
    "sku": cells.sku,
    "name": partial(_needed, partial(cells.line_of_text, limit=200)),
    "price": partial(_needed, cells.price),
    "compare_at_price": partial(_or_none, cells.price),
    "on_hand": cells.quantity,
    "safety_threshold": partial(_or_none, cells.level),
    "low_stock_level": partial(_or_none, cells.level),
    "category": _category,
    "vendor": partial(cells.line_of_text, limit=120),
    "description": cells.description,
    "handle": _handle,
    "published": cells.flag,
}
PRICES = {"price", "compare_at_price"}


def _row(draft: Draft, *, has_commas: bool) -> Row:
    problems = [*draft.problems]

    def values(texts: Mapping[str, str]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for column, text in texts.items():
            if has_commas and column in PRICES:
                text = cells.with_point(text)
            try:
                found[column] = PARSERS[column](text)
            except CellError as error:
                problems.append(f"{draft.labels.get(column, column)}: {error}")
        return found

    sku = values({"sku": draft.sku}).get("sku", "") if draft.sku else ""
    return Row(
        draft.line,
        str(sku),
        draft.key,
        values(draft.texts),
        values(draft.for_new),
        problems,
    )
