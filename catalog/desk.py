"""Rows of the stock desk: any order, any filter, the same few queries at any size."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from django.db.models import F, QuerySet

from catalog import keyset
from catalog.models import Stock

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "name": "product__name",
        "on_hand": "on_hand",
        "reserved": "reserved",
        "allocated": "allocated",
        "available": "available",
        "sellable": "sellable",
        "status": "status",
        "safety_threshold": "safety_threshold",
        "low_stock_level": "low_stock_level",
    }
)
DEFAULT = "name"


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows with their products, and the cursors of the pages beside them."""

    rows: list[Stock]
    next: str | None
    previous: str | None


def known_order(text: str) -> str:
    """The order somebody asks for, "-column" if it falls; by name if it is none."""
    return text if text.removeprefix("-") in COLUMNS else DEFAULT


def page(rows: QuerySet[Stock], *, order: str, cursor: str = "", size: int) -> Page:
    """The page of `rows` that `cursor` names; a cursor of another list is the first.

    Two queries. The first finds the keys alone, so that sorting a hundred thousand rows
    carries two numbers of each and no product.
    """
    sign = "-" if order.startswith("-") else ""
    column = COLUMNS[order.removeprefix("-")]
    keys = rows.select_related(None).only("pk")
    if column == "product__name":
        column, keys = "by_name", keys.annotate(by_name=F(column))
    else:
        keys = rows.select_related(None).only("pk", column)
    try:
        found = keyset.page(keys, by=sign + column, cursor=cursor, size=size)
    except keyset.BadCursor:
        found = keyset.page(keys, by=sign + column, size=size)
    return Page(_whole([row.pk for row in found.items]), found.next, found.previous)


def _whole(ids: list[int]) -> list[Stock]:
    rows = Stock.objects.select_related("product").defer(
        "product__description", "product__search"
    )
    by_pk = {row.pk: row for row in rows.filter(pk__in=ids)}
    return [by_pk[pk] for pk in ids if pk in by_pk]
