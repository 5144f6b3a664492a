"""The ledgers: rows to read, search and filter, which nobody can edit."""

from operator import attrgetter
from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
)
from unfold.paginator import InfinitePaginator

from catalog import search, thresholds
from catalog.admin.ledger_files import Cell, CsvExport
from catalog.columns import (
    BADGES,
    KIND_BADGES,
    cause_link,
    display,
    moment,
    moved,
    status_badge,
)
from catalog.merchant_forms import DialogForm
from catalog.merchant_views import actor_of, button
from catalog.models import Product, StatusChange, StockMovement, ThresholdChange


class LedgerAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows to read, search and filter; nobody adds, edits or deletes one here."""

    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = 50
    list_filter_submit = True
    list_fullwidth = True
    list_disable_select_all = True
    search_fields: tuple[str, ...] = ("product__sku",)
    search_help_text = gettext_lazy("Words of the product's name or SKU")
    ordering = ("-pk",)
    actions: tuple[str, ...] | None = None

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        products = search.matching(Product.objects.all(), search_term).values("pk")
        return queryset.filter(product__in=products), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return False


MOVEMENT_FILE: dict[str, Cell] = {
    "id": attrgetter("pk"),
    "created_at": attrgetter("created_at"),
    "sku": attrgetter("product.sku"),
    "product": attrgetter("product.name"),
    "kind": attrgetter("kind"),
    **{
        f"{name}_{when}": attrgetter(f"{name}_{when}")
        for name in ("on_hand", "reserved", "allocated")
        for when in ("before", "delta", "after")
    },
    "reason": attrgetter("reason"),
    "cause": attrgetter("cause"),
    "actor": lambda movement: str(movement.actor or ""),
}


@admin.register(StockMovement)
class StockMovementAdmin(CsvExport, LedgerAdmin):
    file_columns = MOVEMENT_FILE
    empty_text = gettext_lazy(
        "Each change of a quantity is written here: a count, an order, an import."
    )
    list_display = (
        moment("created_at", gettext_lazy("When")),
        "product",
        "what",
        moved("on_hand", gettext_lazy("On hand")),
        moved("reserved", gettext_lazy("Reserved")),
        moved("allocated", gettext_lazy("Allocated")),
        "reason",
        "why",
        "actor",
    )
    list_select_related = ("product", "actor")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("product", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )

    @display(description=gettext_lazy("Cause"))
    def why(self, movement: StockMovement) -> str:
        return cause_link(movement.cause)

    @display(description=gettext_lazy("Movement"), ordering="kind", label=KIND_BADGES)
    def what(self, movement: StockMovement) -> tuple[str, Any]:
        return movement.kind, movement.get_kind_display()


@admin.register(StatusChange)
class StatusChangeAdmin(LedgerAdmin):
    empty_text = gettext_lazy(
        "A product that turns low, out of stock or back in stock is written here."
    )
    list_display = (
        moment("created_at", gettext_lazy("When")),
        "product",
        "was",
        "became",
        "sellable",
        "why",
        moment("alerted_at", gettext_lazy("Alert sent")),
    )
    list_select_related = ("product",)
    list_filter = (
        ("to_status", ChoicesDropdownFilter),
        ("product", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )

    @display(description=gettext_lazy("Cause"))
    def why(self, change: StatusChange) -> str:
        return cause_link(change.cause)

    @display(description=gettext_lazy("From"), label=BADGES)
    def was(self, change: StatusChange) -> tuple[str, Any]:
        return status_badge(change.from_status)

    @display(description=gettext_lazy("To"), label=BADGES)
    def became(self, change: StatusChange) -> tuple[str, Any]:
        return status_badge(change.to_status)


def level_change(name: str, description: Any) -> Any:
    """A column with a level before and after, and whether it is inherited now."""
    inherits = {
        "safety_threshold": "inherits_threshold",
        "low_stock_level": "inherits_low_stock_level",
    }[name]

    @display(description=description)
    def column(change: ThresholdChange) -> str:
        before = getattr(change, f"{name}_before")
        after = getattr(change, f"{name}_after")
        text = str(after) if before == after else f"{before} → {after}"
        if getattr(change, f"{inherits}_after"):
            return _("%(level)s (inherited)") % {"level": text}
        return text

    return column


@admin.register(ThresholdChange)
class ThresholdChangeAdmin(LedgerAdmin):
    """Changes of levels; those made together are undone together."""

    empty_text = gettext_lazy(
        "Changes of many levels at once are written here, each with its undo. "
        "Begin with a selection in the stock desk."
    )
    list_display = (
        moment("created_at", gettext_lazy("When")),
        "product",
        level_change("safety_threshold", gettext_lazy("Safety threshold")),
        level_change("low_stock_level", gettext_lazy("Low-stock level")),
        "reason",
        "actor",
    )
    list_select_related = ("product", "actor")
    list_filter = (
        ("product", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )
    actions_detail = ("undo",)

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = super().get_list_display(request)
        return (*shown, "put_back") if self.has_undo_permission(request) else shown

    @display(description=gettext_lazy("Undo"))
    def put_back(self, change: ThresholdChange) -> str:
        """A button of the list's form; an undo is a change that can be undone, too."""
        return format_html(
            '<button class="desk-button" formaction="{}" title="{}">{}</button>',
            reverse("admin:catalog_thresholdchange_undo", args=[change.pk]),
            _("Puts back everything that was changed together with this."),
            _("Undo"),
        )

    def has_undo_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("catalog.change_stock")

    @button(
        gettext_lazy("Undo"),
        permission="undo",
        icon="undo",
        sentence=gettext_lazy(
            "Puts back everything that was changed together with this, for products "
            "nobody has changed since."
        ),
        submit=gettext_lazy("Put it back"),
    )
    def undo(
        self, request: HttpRequest, form: DialogForm, change: ThresholdChange
    ) -> Any:
        batch = thresholds.undo(change.batch, actor=actor_of(request))
        back = ThresholdChange.objects.filter(batch=batch).count()
        made = ThresholdChange.objects.filter(batch=change.batch).count()
        return _("%(back)s of %(made)s products are back where they were.") % {
            "back": back,
            "made": made,
        }
