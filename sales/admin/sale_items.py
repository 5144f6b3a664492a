"""The products of a sale, as rows of its form."""

from typing import Any

from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline

from sales.merchant_forms import ItemFormSet
from sales.models import FlashSale, FlashSaleItem, SaleState

EDITABLE = (SaleState.DRAFT, SaleState.SCHEDULED)


def hold(sale_id: str) -> None:
    """Lock a sale and its items before a form is compared with them.

    A preload may be allocating this very moment; whoever comes second sees the other.
    """
    if sale_id.isdecimal():
        list(FlashSale.objects.select_for_update().filter(pk=sale_id))
        items = FlashSaleItem.objects.select_for_update().filter(sale=int(sale_id))
        list(items.order_by("pk"))


def may_edit(request: HttpRequest, sale: FlashSale | None) -> bool:
    """Whether this person may edit the sale as it is; of None: make a new one."""
    if sale is None:
        return request.user.has_perm("sales.add_flashsale")
    return request.user.has_perm("sales.change_flashsale") and sale.state in EDITABLE


class FlashSaleItemInline(TabularInline):  # type: ignore[misc]
    """Products of a sale; whoever may edit the sale may edit them."""

    model = FlashSaleItem
    formset = ItemFormSet
    fields = ("product", "requested_units", "price", "limit_per_buyer")
    autocomplete_fields = ("product",)
    extra = 0
    empty_value_display = gettext_lazy("all")  # only the units may be empty
    hide_title = True
    verbose_name = gettext_lazy("product")
    verbose_name_plural = gettext_lazy("products")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[FlashSaleItem]:
        return super().get_queryset(request).select_related("product", "sale")  # type: ignore[no-any-return]

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """In a table the heading is no label yet."""
        formfield = super().formfield_for_dbfield(db_field, request, **kwargs)
        if formfield is not None:
            formfield.widget.attrs["aria-label"] = str(formfield.label)
        return formfield

    def has_add_permission(
        self, request: HttpRequest, obj: FlashSale | None = None
    ) -> bool:
        return may_edit(request, obj)

    def has_change_permission(
        self, request: HttpRequest, obj: FlashSale | None = None
    ) -> bool:
        return may_edit(request, obj)

    def has_delete_permission(
        self, request: HttpRequest, obj: FlashSale | None = None
    ) -> bool:
        return may_edit(request, obj)

    def has_view_permission(
        self, request: HttpRequest, obj: FlashSale | None = None
    ) -> bool:
        return request.user.has_perm("sales.view_flashsale") or may_edit(request, obj)
