"""Products in the dashboard: what shoppers see of them, and a look at their stock."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from import_export.admin import ExportMixin
from unfold.admin import ModelAdmin
from unfold.contrib.import_export.forms import ExportForm

from catalog import import_views, merchant_views, products, restock, search, thresholds
from catalog.admin.counted_list import CountedList
from catalog.admin.history import HistoryAdmin
from catalog.admin.pictures import PictureInline
from catalog.columns import BADGES, display, figure_link, status_badge
from catalog.exports import ProductResource
from catalog.filters import CategoryFilter, ProductStatusFilter
from catalog.merchant_forms import NewProductForm
from catalog.merchant_views import actor_of
from catalog.models import Product
from catalog.thresholds import Levels


@admin.register(Product)
class ProductAdmin(HistoryAdmin, ExportMixin, ModelAdmin):  # type: ignore[misc]
    """Products: what shoppers see of them, and a look at their stock."""

    list_display = (
        "name",
        "sku",
        "category",
        "price",
        "status",
        "sellable",
        "is_published",
    )
    list_filter = (ProductStatusFilter, CategoryFilter, "is_published")
    list_filter_submit = True
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("sku",)
    search_help_text = gettext_lazy("Words of the name, the SKU or the vendor")
    ordering = ("name", "pk")
    prepopulated_fields = {"slug": ("name",), "handle": ("name",)}
    autocomplete_fields = ("category",)
    readonly_fields = ("stock_now",)
    actions = ("publish", "unpublish")
    actions_list = ("import_file",)
    inlines = (PictureInline,)
    resource_classes = (ProductResource,)
    export_form_class = ExportForm
    fieldsets = (
        (None, {"fields": ("name", "sku", ("price", "compare_at_price"), "category")}),
        (gettext_lazy("Stock"), {"fields": ("stock_now",)}),
        (
            gettext_lazy("In the shop"),
            {
                "fields": (
                    "is_published",
                    "description",
                    "vendor",
                    ("slug", "handle"),
                )
            },
        ),
    )
    add_fieldsets = (
        fieldsets[0],
        (
            gettext_lazy("Stock"),
            {"fields": ("on_hand", ("safety_threshold", "low_stock_level"))},
        ),
        fieldsets[2],
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CountedList]:
        return CountedList

    @display(description=gettext_lazy("Status"), ordering="stock__status", label=BADGES)
    def status(self, product: Product) -> tuple[str, Any]:
        return status_badge(product.stock.status)

    @display(description=gettext_lazy("Sellable"), ordering="stock__sellable")
    def sellable(self, product: Product) -> str:
        return figure_link(product.pk, "sellable", product.stock.sellable)

    @display(description=gettext_lazy("Now"))
    def stock_now(self, product: Product) -> str:
        context = {"row": product.stock, "status": status_badge(product.stock.status)}
        context["type"] = BADGES[product.stock.status]
        context["waiting"] = restock.waiting(product.pk)
        return render_to_string("merchant/_stock_now.html", context)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        return search.matching(queryset, search_term), False  # type: ignore[arg-type]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Product]:
        rows = super().get_queryset(request)
        return rows.select_related("category", "stock")  # type: ignore[no-any-return]

    def get_form(
        self, request: HttpRequest, obj: Product | None = None, **kwargs: Any
    ) -> type[ModelForm[Product]]:
        if obj is None:
            kwargs["form"] = NewProductForm
        return super().get_form(request, obj, **kwargs)  # type: ignore[no-any-return]

    def save_model(
        self, request: HttpRequest, obj: Product, form: Any, change: bool
    ) -> None:
        if change:
            super().save_model(request, obj, form, change)
            if "category" in form.changed_data:
                thresholds.change(
                    {obj.pk: Levels()},
                    actor=actor_of(request),
                    reason="category changed",
                )
            return
        thresholds.hold()
        super().save_model(request, obj, form, change)
        numbers = ("on_hand", "safety_threshold", "low_stock_level")
        products.open_stock(
            obj,
            **{name: form.cleaned_data[name] for name in numbers},
            actor=actor_of(request),
        )

    def has_import_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(import_views.PERMISSIONS)

    @merchant_views.page(
        gettext_lazy("Import"), permission="import", icon="upload", path="import"
    )
    def import_file(self, request: HttpRequest) -> HttpResponse:
        return import_views.import_products(self, request)

    def get_urls(self) -> list[URLPattern]:
        name = "catalog_product_import_run"
        view = self.admin_site.admin_view(self.import_run)
        page = path("import/<uuid:run_id>/", view, name=name)
        return [page, *super().get_urls()]

    def import_run(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        if not self.has_import_permission(request):
            raise PermissionDenied
        return import_views.import_run(self, request, run_id)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)  # type: ignore[no-any-return]

    def has_delete_permission(
        self, request: HttpRequest, obj: Product | None = None
    ) -> bool:
        """Nobody: the ledger must stay. `delete_view` says what to do instead."""
        return False

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_change_permission(request):
            return super().delete_view(request, object_id, extra_context)  # type: ignore[no-any-return]
        messages.warning(
            request,
            _(
                "A product with stock history cannot be deleted. Untick “Is published” "
                "instead: shoppers no longer see it, and its history stays."
            ),
        )
        return redirect("admin:catalog_product_change", object_id)

    @admin.action(description=gettext_lazy("Show in the shop"), permissions=["change"])
    def publish(self, request: HttpRequest, queryset: models.QuerySet[Product]) -> None:
        self._set_published(request, queryset, True)

    @admin.action(
        description=gettext_lazy("Take out of the shop"), permissions=["change"]
    )
    def unpublish(
        self, request: HttpRequest, queryset: models.QuerySet[Product]
    ) -> None:
        self._set_published(request, queryset, False)

    @transaction.atomic
    def _set_published(
        self, request: HttpRequest, queryset: models.QuerySet[Product], value: bool
    ) -> None:
        pks = queryset.order_by("pk").values_list("pk", flat=True)
        rows = Product.objects.select_for_update().filter(pk__in=list(pks))
        changed = 0
        for product in rows.exclude(is_published=value).order_by("pk"):
            product.is_published = value
            product.save(update_fields=["is_published", "updated_at"])
            changed += 1
        sentence = ngettext(
            "%(count)s product changed.", "%(count)s products changed.", changed
        )
        messages.success(request, sentence % {"count": changed})
