"""The stock desk: every number explained, levels edited in place.

Quantities and levels are written by `catalog.stock` and `catalog.thresholds` alone;
no page here saves a Stock row.
"""

from typing import Any

from django.contrib import admin
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin
from unfold.enums import ActionVariant
from unfold.views import ChangeList

from catalog import merchant_views, search, stock, thresholds
from catalog.columns import (
    BADGES,
    display,
    figure,
    status_badge,
)
from catalog.filters import (
    FlashFilter,
    OriginFilter,
    StatusFilter,
    StockCategoryFilter,
)
from catalog.merchant_forms import (
    AdjustForm,
    LevelsForm,
    ReceiveForm,
)
from catalog.merchant_views import actor_of
from catalog.models import (
    Stock,
)
from catalog.thresholds import Levels


class StockChangeList(ChangeList):  # type: ignore[misc]
    def get_ordering(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> list[Any]:
        """The key follows the column's direction, so that its index can serve both."""
        ordering: list[Any] = super().get_ordering(request, queryset)
        if len(ordering) == 2 and ordering[1] == "-pk":
            falling = str(ordering[0]).startswith("-")
            return [ordering[0], "-pk" if falling else "pk"]
        return ordering


@admin.register(Stock)
class StockAdmin(ModelAdmin):  # type: ignore[misc]
    """The stock desk: every number, the two levels edited in place."""

    list_display = (
        "product_and_sku",
        figure("on_hand", gettext_lazy("On hand")),
        figure("reserved", gettext_lazy("Reserved")),
        figure("allocated", gettext_lazy("Allocated")),
        figure("available", gettext_lazy("Available")),
        figure("sellable", gettext_lazy("Sellable")),
        "state",
        "safety_threshold",
        "low_stock_level",
    )
    list_editable = ("safety_threshold", "low_stock_level")
    list_filter = (StatusFilter, StockCategoryFilter, OriginFilter, FlashFilter)
    list_filter_submit = True
    list_per_page = 25
    list_max_show_all = 0
    list_fullwidth = True
    show_full_result_count = False
    search_fields = ("product__sku",)
    search_help_text = gettext_lazy("Words of the name, the SKU or the vendor")
    ordering = ("product__name", "pk")
    actions = ("change_levels",)
    actions_row = ("adjust", "receive")
    actions_detail = ("adjust", "receive")
    change_form_template = "merchant/stock.html"

    @display(description=gettext_lazy("Product"), ordering="product__name", header=True)
    def product_and_sku(self, row: Stock) -> list[str]:
        return [row.product.name, row.product.sku]

    @display(description=gettext_lazy("Status"), ordering="status", label=BADGES)
    def state(self, row: Stock) -> tuple[str, Any]:
        return status_badge(row.status)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Stock]:
        return super().get_queryset(request).select_related("product")  # type: ignore[no-any-return]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Stock], search_term: str
    ) -> tuple[models.QuerySet[Stock], bool]:
        if not search_term:
            return queryset, False
        query = search.query(search_term)
        if query is None:
            return queryset.none(), False
        return queryset.filter(product__search=query), False

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

    def get_changelist_form(
        self, request: HttpRequest, **kwargs: Any
    ) -> type[LevelsForm]:
        return LevelsForm

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method != "POST" or "_save" not in request.POST:
            return super().changelist_view(request, extra_context)  # type: ignore[no-any-return]
        with transaction.atomic():
            self._lock_posted(request)
            response = super().changelist_view(request, extra_context)
        self._keep_posted_rows(response)
        return response  # type: ignore[no-any-return]

    def _lock_posted(self, request: HttpRequest) -> None:
        """Hold the rows in the one order everybody uses, before they are compared."""
        if not self.has_change_permission(request):
            return
        posted = self._get_edited_object_pks(request, "form")
        thresholds.hold()
        stock.lock(int(pk) for pk in posted if pk.isdecimal())

    def _keep_posted_rows(self, response: HttpResponse) -> None:
        """Show a refused form beside its own rows, wherever the list has moved on."""
        changelist: Any = getattr(response, "context_data", {}).get("cl")
        formset = changelist and changelist.formset
        if formset and formset.is_bound:
            changelist.result_list = [form.instance for form in formset.forms]

    @admin.action(
        description=gettext_lazy("Change levels of the chosen products"),
        permissions=["change"],
    )
    def change_levels(
        self, request: HttpRequest, queryset: models.QuerySet[Stock]
    ) -> HttpResponse:
        return merchant_views.change_levels(self, request, queryset)

    def save_model(
        self, request: HttpRequest, obj: Stock, form: LevelsForm, change: bool
    ) -> None:
        """Write the two levels through their service; never the row."""
        typed = {name: form.cleaned_data[name] for name in form.changed_data}
        thresholds.change({obj.pk: Levels(**typed)}, actor=actor_of(request))

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
            **merchant_views.explain(row),
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
