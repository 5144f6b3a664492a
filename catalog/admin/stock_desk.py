"""The stock desk: every number explained, figures edited in place.

Quantities and levels are written by `catalog.stock` and `catalog.thresholds` alone;
no page here saves a Stock row.
"""

from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin
from unfold.enums import ActionVariant

from catalog import (
    bulk_views,
    desk_edits,
    explain,
    merchant_views,
    saved_views,
    search,
    stock,
)
from catalog.admin import desk_views
from catalog.admin.desk_list import HEADINGS, StockChangeList, lines
from catalog.columns import BADGES, status_badge
from catalog.filters import (
    FlashFilter,
    LevelFilter,
    OriginFilter,
    StatusFilter,
    StockCategoryFilter,
)
from catalog.merchant_forms import AdjustForm, ReceiveForm
from catalog.merchant_views import actor_of
from catalog.models import Product, Stock


@admin.register(Stock)
class StockAdmin(ModelAdmin):  # type: ignore[misc]
    """The stock desk: every number, three of them edited in place."""

    list_display = ("product", *list(HEADINGS)[1:])
    list_filter = (
        StatusFilter,
        LevelFilter,
        StockCategoryFilter,
        OriginFilter,
        FlashFilter,
    )
    list_per_page = 25
    list_max_show_all = 0
    list_fullwidth = True
    show_full_result_count = False
    search_fields = ("product__sku",)
    search_help_text = gettext_lazy("Words of the name, the SKU or the vendor")
    ordering = ("pk",)
    actions = ("change_levels",)
    actions_list = ("levels_file",)
    actions_detail = ("adjust", "receive")
    change_form_template = "merchant/stock.html"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path(
                "views/",
                wrap(partial(desk_views.manage, self)),
                name="catalog_stock_views",
            ),
            path(
                "views/<int:view_id>/",
                wrap(partial(desk_views.change, self)),
                name="catalog_stock_view",
            ),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Stock]:
        return super().get_queryset(request).select_related("product")  # type: ignore[no-any-return]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Stock], search_term: str
    ) -> tuple[models.QuerySet[Stock], bool]:
        if not search_term:
            return queryset, False
        found = search.matching(Product.objects.order_by(), search_term)
        return queryset.filter(product__in=found.values("pk")), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Stock | None = None
    ) -> bool:
        return False

    def get_changelist(
        self, request: HttpRequest, **kwargs: Any
    ) -> type[StockChangeList]:
        return StockChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list; a POST with `_save` writes what was typed into it."""
        saved, began = desk_edits.Saved(), timezone.now()
        if request.method == "POST" and not self.has_change_permission(request):
            raise PermissionDenied
        if request.method == "POST" and "_save" in request.POST:
            saved = desk_edits.save(request.POST, actor=actor_of(request))
            if not saved.refused:
                self._say(request, saved)
                return redirect(request.get_full_path())
        elif request.method == "GET" and not request.GET:
            view = self._opens_with(request)
            if view and view.query:
                return redirect(desk_views.address(view))
        response = super().changelist_view(request, extra_context)
        self._show(request, response, saved, began)
        return response  # type: ignore[no-any-return]

    def _opens_with(self, request: HttpRequest) -> Any:
        if not self.has_view_permission(request):
            return None
        return saved_views.default_of(actor_of(request))

    def _show(
        self,
        request: HttpRequest,
        response: Any,
        saved: desk_edits.Saved,
        began: datetime,
    ) -> None:
        """Put the rows and the views into a list that is to be rendered."""
        context = getattr(response, "context_data", None) or {}
        if (changelist := context.get("cl")) is None:
            return
        refused = dict(saved.refused)
        if refused:
            response.status_code = 409 if saved.conflicts else 422
        context |= {
            "can_edit": self.has_change_permission(request),
            "lines": lines(changelist.result_list, refused),
            "refused": refused,
            "conflicts": saved.conflicts,
            "seen": request.POST.get("seen") if refused else began.isoformat(),
            **desk_views.tabs(request, changelist.kept),
        }

    def _say(self, request: HttpRequest, saved: desk_edits.Saved) -> None:
        if not saved.changed:
            messages.info(request, _("Nothing was typed, so nothing was changed."))
            return
        sentence = ngettext(
            "%(count)s product was changed successfully.",
            "%(count)s products were changed successfully.",
            saved.changed,
        ) % {"count": saved.changed}
        if saved.batch:
            done = bulk_views.done_sentence(saved.batch)
            sentence = format_html("{} {}", sentence, done)
        messages.success(request, sentence)

    @admin.action(
        description=gettext_lazy("Change levels of the chosen products"),
        permissions=["change"],
    )
    def change_levels(
        self, request: HttpRequest, queryset: models.QuerySet[Stock]
    ) -> HttpResponse:
        return bulk_views.change_levels(self, request, queryset)

    @merchant_views.page(
        gettext_lazy("Levels from a file"),
        permission="change",
        icon="upload",
        path="levels",
    )
    def levels_file(self, request: HttpRequest) -> HttpResponse:
        return bulk_views.change_by_file(self, request)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """“Why this number?”: the formula of a row and everything that feeds it."""
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            return super().change_view(request, object_id, form_url)  # type: ignore[no-any-return]
        if request.method == "POST":
            if not self.has_change_permission(request, row):
                return super().change_view(request, object_id, form_url)  # type: ignore[no-any-return]
            return HttpResponseNotAllowed(["GET", "HEAD"])
        context = {
            **explain.explain(row),
            **(extra_context or {}),
            "title": _("Why this number?"),
            "original": row.product,
            "badge": status_badge(row.status)[1],
            "badge_type": BADGES[row.status],
        }
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    @merchant_views.button(
        gettext_lazy("Adjust on hand"),
        permission="change",
        icon="edit",
        sentence=gettext_lazy("Count what is physically there and type that number."),
        submit=gettext_lazy("Set the number"),
        form_class=AdjustForm,
        variant=ActionVariant.PRIMARY,
    )
    def adjust(self, request: HttpRequest, form: AdjustForm, row: Stock) -> Any:
        typed = form.cleaned_data
        note = stock.Note(reason=typed["reason"], actor=actor_of(request))
        try:
            fresh = stock.adjust(
                row.pk,
                on_hand=typed["on_hand"],
                expected_version=typed["version"],
                note=note,
            )
        except stock.VersionConflict as conflict:
            form.offer_again(
                conflict.stock,
                _(
                    "This product changed while you counted: %(theirs)s are on hand "
                    "now. Nothing was changed; submit again to set %(mine)s."
                )
                % {"theirs": conflict.stock.on_hand, "mine": typed["on_hand"]},
            )
            return None
        except stock.StockConflict:
            form.add_error(
                "on_hand",
                _(
                    "%(promised)s units are promised to orders and flash sales, so at "
                    "least that many must be on hand. Cancel orders or end the sale "
                    "first, or check the count."
                )
                % {"promised": row.reserved + row.allocated},
            )
            return None
        return _("%(product)s: %(on_hand)s units on hand.") % {
            "product": row.product,
            "on_hand": fresh.on_hand,
        }

    @merchant_views.button(
        gettext_lazy("Receive units"),
        permission="change",
        icon="add",
        sentence=gettext_lazy("Book units that arrived; they are added to the shelf."),
        submit=gettext_lazy("Add the units"),
        form_class=ReceiveForm,
    )
    def receive(self, request: HttpRequest, form: ReceiveForm, row: Stock) -> Any:
        typed = form.cleaned_data
        note = stock.Note(reason=typed["reason"], actor=actor_of(request))
        stock.receive(row.pk, typed["quantity"], note=note)
        sentence = ngettext(
            "%(product)s: %(count)s unit added.",
            "%(product)s: %(count)s units added.",
            typed["quantity"],
        )
        return sentence % {"product": row.product, "count": typed["quantity"]}
