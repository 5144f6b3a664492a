"""Products as our file has them: every column of it, read for many products at once."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from django.db.models import QuerySet

from catalog import categories
from catalog.files.formats import Value
from catalog.models import Product

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Current:
    """A product of the shop by the columns of our file."""

    product_id: int
    sku: str
    values: Mapping[str, Value]
    promised: int
    has_stock: bool


def read(products: QuerySet[Product]) -> Iterator[Current]:
    """The products' values; two queries, however many there are."""
    paths = {
        node.category.pk: tuple(above.name for above in node.trail)
        for node in categories.tree()
    }
    columns = products.values(
        "pk",
        "sku",
        "name",
        "price",
        "compare_at_price",
        "vendor",
        "description",
        "handle",
        "is_published",
        "category_id",
        "stock__on_hand",
        "stock__reserved",
        "stock__allocated",
        "stock__safety_threshold",
        "stock__low_stock_level",
        "stock__inherits_threshold",
        "stock__inherits_low_stock_level",
    )
    rows = cast("Iterable[dict[str, Any]]", columns.iterator(5000))
    return (_of_row(row, paths) for row in rows)


def _of_row(row: dict[str, Any], paths: Mapping[int, Path]) -> Current:
    has_stock = row["stock__on_hand"] is not None
    inherits = not has_stock or row["stock__inherits_threshold"]
    inherits_level = not has_stock or row["stock__inherits_low_stock_level"]
    values: dict[str, Value] = {
        "sku": row["sku"],
        "name": " ".join(row["name"].split()),
        "price": row["price"],
        "compare_at_price": row["compare_at_price"],
        "on_hand": row["stock__on_hand"] or 0,
        "safety_threshold": None if inherits else row["stock__safety_threshold"],
        "low_stock_level": None if inherits_level else row["stock__low_stock_level"],
        "category": paths.get(row["category_id"], ()),
        "vendor": " ".join(row["vendor"].split()),
        "description": row["description"],
        "handle": row["handle"],
        "published": row["is_published"],
    }
    promised = (row["stock__reserved"] or 0) + (row["stock__allocated"] or 0)
    return Current(row["pk"], row["sku"], values, promised, has_stock)
