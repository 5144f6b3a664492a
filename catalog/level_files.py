"""A file of levels: a line per product, its SKU and the numbers it is to have.

The columns are those of our product file, and mean the same: an empty cell makes the
product inherit, a column that is not there leaves its level alone. The other columns
of our product file are passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from django.utils.translation import gettext as _

from catalog.files import cells, ours, sheets
from catalog.models import Product
from catalog.thresholds import KEEP, Keep, Levels

MOST_LINES = 20_000
LEVELS = ("safety_threshold", "low_stock_level")


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line nothing can be done with, and why."""

    number: int
    sku: str
    problem: str


@dataclass(slots=True)
class Found:
    """What a file says; nothing is to be done while there is a bad line."""

    levels: dict[int, Levels] = field(default_factory=dict)
    bad_lines: list[BadLine] = field(default_factory=list)


def read(file: BinaryIO) -> Found:
    """The levels a file asks for, by product id. Raises UnusableFile.

    The file is read while somebody waits, so one of more than MOST_LINES is refused.
    """
    sheet = sheets.read(file, is_known=_is_known, most_lines=MOST_LINES)
    header = ours.names(sheet.header)
    if strange := ours.strange(sheet.header):
        raise sheets.UnusableFile(
            _(
                "Unknown columns: %(strange)s. The file needs “sku” and at least one "
                "of “safety_threshold” and “low_stock_level”."
            )
            % {"strange": strange}
        )
    if not _is_known(sheet.header):
        raise sheets.UnusableFile(
            _(
                "The file needs a column “sku” and at least one of “safety_threshold” "
                "and “low_stock_level”, each once; its columns are: %(names)s."
            )
            % {"names": ", ".join(header)}
        )
    records = [
        (line.number, dict(zip(header, line.cells, strict=False)))
        for line in sheet.lines
    ]
    return _found(records, header)


def _is_known(header: Sequence[str]) -> bool:
    names = ours.names(header)
    return (
        "sku" in names
        and bool(set(LEVELS) & set(names))
        and all(names.count(name) <= 1 for name in ("sku", *LEVELS))
    )


def _found(records: list[tuple[int, dict[str, str]]], header: Sequence[str]) -> Found:
    skus = [cells.unguarded(record.get("sku", "")) for _number, record in records]
    products = dict(
        Product.objects.filter(sku__in=skus, stock__isnull=False).values_list(
            "sku", "pk"
        )
    )
    found = Found()
    for sku, (number, record) in zip(skus, records, strict=True):
        try:
            told = {
                name: _level(name, record) if name in header else KEEP
                for name in LEVELS
            }
        except cells.CellError as error:
            found.bad_lines.append(BadLine(number, sku, str(error)))
            continue
        pk = products.get(sku)
        if pk is None:
            found.bad_lines.append(BadLine(number, sku, _("no product has this SKU")))
        elif pk in found.levels:
            found.bad_lines.append(
                BadLine(number, sku, _("this SKU is in the file twice"))
            )
        else:
            found.levels[pk] = Levels(**told)
    return found


def _level(name: str, record: dict[str, str]) -> int | Keep | None:
    text = record.get(name)
    if text is None:
        raise cells.CellError(_("the line ends before “%(name)s”") % {"name": name})
    return cells.level(text) if text else None
