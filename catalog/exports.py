"""Products and their stock as our own file: importing it again changes nothing."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from import_export import fields, resources

from catalog import product_values
from catalog.files import ours
from catalog.models import Product

FIGURES = ("reserved", "allocated", "available", "sellable", "status")


def lines() -> Iterator[list[str]]:
    """The header, then every product."""
    yield list(ours.COLUMNS)
    for product in product_values.read(Product.objects.order_by("name", "pk")):
        yield ours.cells_of(product.values)


class ProductResource(resources.ModelResource):  # type: ignore[misc]
    """The dashboard's export, CSV or XLSX: our own columns, then the stock's figures.

    The import passes the figures over, for they are results.
    """

    on_hand = fields.Field(column_name="on_hand")
    safety_threshold = fields.Field(column_name="safety_threshold")
    low_stock_level = fields.Field(column_name="low_stock_level")
    published = fields.Field(column_name="published")
    reserved, allocated, available, sellable, status = (
        fields.Field(column_name=column, attribute=f"stock__{column}")
        for column in FIGURES
    )

    class Meta:
        model = Product
        fields = (*ours.COLUMNS, *FIGURES)
        export_order = fields

    def before_export(self, queryset: QuerySet[Product], **kwargs: Any) -> None:
        self.cells = {
            product.product_id: dict(
                zip(ours.COLUMNS, ours.cells_of(product.values), strict=True)
            )
            for product in product_values.read(queryset)
        }

    def export_field(
        self, field: fields.Field, instance: Product, **kwargs: Any
    ) -> Any:
        cells = self.cells[instance.pk]
        if field.column_name in cells:
            return cells[field.column_name]
        return super().export_field(field, instance, **kwargs)
