"""Products and their stock as CSV or XLSX, one row each."""

from collections.abc import Iterator

from import_export import fields, resources

from catalog import product_values
from catalog.files import ours
from catalog.models import Product


def _of_stock(column: str) -> fields.Field:
    return fields.Field(column_name=column, attribute=f"stock__{column}")


class ProductResource(resources.ModelResource):  # type: ignore[misc]
    """What stands in an export; the first columns are those our import reads."""

    category = fields.Field(column_name="category", attribute="category__slug")
    on_hand = _of_stock("on_hand")
    safety_threshold = _of_stock("safety_threshold")
    low_stock_level = _of_stock("low_stock_level")
    reserved = _of_stock("reserved")
    allocated = _of_stock("allocated")
    available = _of_stock("available")
    sellable = _of_stock("sellable")
    status = _of_stock("status")

    class Meta:
        model = Product
        fields = (
            "sku",
            "name",
            "price",
            "compare_at_price",
            "category",
            "vendor",
            "is_published",
            "on_hand",
            "safety_threshold",
            "low_stock_level",
            "reserved",
            "allocated",
            "available",
            "sellable",
            "status",
        )
        export_order = fields


def lines() -> Iterator[list[str]]:
    """All products as our own file, the header first; importing it changes nothing."""
    yield list(ours.COLUMNS)
    for product in product_values.read(Product.objects.order_by("name", "pk")):
        yield ours.cells_of(product.values)
