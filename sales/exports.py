"""Orders as CSV or XLSX, one row each."""

from import_export import fields, resources

from sales.models import Order


class OrderResource(resources.ModelResource):  # type: ignore[misc]
    """What stands in an export of orders."""

    number = fields.Field(column_name="number", attribute="number")
    flash_sale = fields.Field(
        column_name="flash_sale", attribute="flash_item__sale__name"
    )

    class Meta:
        model = Order
        fields = (
            "id",
            "number",
            "state",
            "flash_sale",
            "email",
            "full_name",
            "address",
            "postal_code",
            "city",
            "country",
            "total",
            "currency",
            "created_at",
            "paid_at",
            "closed_at",
        )
        export_order = fields
