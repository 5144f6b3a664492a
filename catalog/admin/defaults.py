"""Categories and the store: the levels that products inherit."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin

from catalog import thresholds
from catalog.admin.history import HistoryAdmin
from catalog.bulk_views import DefaultAdmin, done_sentence
from catalog.merchant_forms import (
    CategoryForm,
)
from catalog.merchant_views import actor_of
from catalog.models import (
    Category,
    StatusChange,
    Store,
    ThresholdChange,
)


def outcome(batch: UUID) -> str:
    """What a change of defaults did, in a sentence with a link to undo it."""
    products = ThresholdChange.objects.filter(batch=batch).values("product")
    changed = products.count()
    flipped = StatusChange.objects.filter(
        product__in=products, cause=f"thresholds:{batch}"
    ).count()
    first = ngettext(
        "%(count)s product took over the new numbers",
        "%(count)s products took over the new numbers",
        changed,
    ) % {"count": changed}
    second = ngettext(
        "%(count)s changed its status.", "%(count)s changed their status.", flipped
    ) % {"count": flipped}
    sentence = f"{first}, {second}"
    return format_html("{} {}", sentence, done_sentence(batch)) if changed else sentence


@admin.register(Category)
class CategoryAdmin(DefaultAdmin, HistoryAdmin, ModelAdmin):  # type: ignore[misc]
    """Shelves of the shop, with the levels their products inherit."""

    form = CategoryForm
    list_display = ("name", "parent", "position", "safety_threshold", "low_stock_level")
    list_select_related = ("parent",)
    list_per_page = 50
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    autocomplete_fields = ("parent",)
    fieldsets = (
        (None, {"fields": ("name", "slug", "parent", "position")}),
        (
            gettext_lazy("Defaults for its products"),
            {"fields": (("safety_threshold", "low_stock_level"),)},
        ),
    )
    LEVELS = ("safety_threshold", "low_stock_level")

    def save_model(
        self, request: HttpRequest, obj: Category, form: Any, change: bool
    ) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            return
        self.check_default(request, obj)
        typed = {name: getattr(obj, name) for name in self.LEVELS}
        if set(form.changed_data) - set(self.LEVELS):
            for name in self.LEVELS:
                setattr(obj, name, form.initial[name])
            super().save_model(request, obj, form, change)
        batch = thresholds.change_category(obj, **typed, actor=actor_of(request))
        if {"parent", *self.LEVELS} & set(form.changed_data):
            messages.info(request, outcome(batch))


@admin.register(Store)
class StoreAdmin(DefaultAdmin, HistoryAdmin, ModelAdmin):  # type: ignore[misc]
    """The numbers every product inherits unless something nearer says otherwise."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Store | None = None
    ) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            return super().changelist_view(request, extra_context)  # type: ignore[no-any-return]
        return redirect("admin:catalog_store_change", thresholds.store().pk)

    def save_model(
        self, request: HttpRequest, obj: Store, form: Any, change: bool
    ) -> None:
        self.check_default(request, obj)
        batch = thresholds.change_store(
            safety_threshold=obj.safety_threshold,
            low_stock_level=obj.low_stock_level,
            actor=actor_of(request),
        )
        messages.info(request, outcome(batch))
