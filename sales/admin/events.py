"""Events of flash-sale items, as the sale Redis wrote them; the ledger of claims."""

from operator import attrgetter
from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter, RangeDateTimeFilter

from catalog import search
from catalog.admin.ledger_files import CsvExport
from catalog.admin.ledgers import LedgerAdmin
from catalog.columns import display, moment
from catalog.models import Product
from sales.models import FlashEvent
from sales.models.orders import number_of

KINDS = {
    "claim": gettext_lazy("Claim"),
    "begin": gettext_lazy("Payment begun"),
    "confirm": gettext_lazy("Paid"),
    "release": gettext_lazy("Released"),
    "reclaim": gettext_lazy("Held again"),
    "refund": gettext_lazy("Refunded"),
    "adjust": gettext_lazy("Changed"),
    "preload": gettext_lazy("Loaded"),
    "recover": gettext_lazy("Rebuilt"),
}


class EventKindFilter(DropdownFilter):  # type: ignore[misc]
    title = gettext_lazy("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(KINDS.items())

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[FlashEvent]
    ) -> models.QuerySet[FlashEvent]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(FlashEvent)
class FlashEventAdmin(CsvExport, LedgerAdmin):
    """What happened to each claim, in the order in which it was decided."""

    empty_text = gettext_lazy(
        "Each claim of a flash sale and what became of it is written here."
    )
    list_display = (
        moment("at", gettext_lazy("When")),
        "sale",
        "product",
        "seq",
        "what",
        "quantity",
        "who",
        "order",
        "set_aside",
    )
    list_select_related = ("item__sale", "item__product")
    list_filter = (EventKindFilter, "is_poison", ("at", RangeDateTimeFilter))
    file_columns = {
        "sale": attrgetter("item.sale.name"),
        "sku": attrgetter("item.product.sku"),
        "item": attrgetter("item_id"),
        "seq": attrgetter("seq"),
        "epoch": attrgetter("epoch"),
        "kind": attrgetter("kind"),
        "at": attrgetter("at"),
        "order_id": attrgetter("order_id"),
        "buyer": attrgetter("buyer"),
        "quantity": attrgetter("quantity"),
        "expires_at": attrgetter("expires_at"),
        "is_poison": attrgetter("is_poison"),
    }

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        products = search.matching(Product.objects.all(), search_term).values("pk")
        return queryset.filter(item__product__in=products), False

    @display(description=gettext_lazy("Sale"))
    def sale(self, event: FlashEvent) -> str:
        return event.item.sale.name

    @display(description=gettext_lazy("Product"))
    def product(self, event: FlashEvent) -> str:
        return event.item.product.name

    @display(description=gettext_lazy("Event"), ordering="kind")
    def what(self, event: FlashEvent) -> str:
        return str(KINDS.get(event.kind, event.kind))

    @display(description=gettext_lazy("Buyer"), ordering="buyer")
    def who(self, event: FlashEvent) -> str:
        """An account, or as much of a guest's name as tells guests apart."""
        kind, _colon, name = event.buyer.partition(":")
        words = {"u": _("account %(name)s"), "g": _("guest %(name)s")}
        return words.get(kind, event.buyer or "-") % {"name": name[:8]}

    @display(description=gettext_lazy("Order"))
    def order(self, event: FlashEvent) -> str:
        if event.order_id is None:
            return "-"
        url = reverse("admin:sales_order_change", args=[event.order_id])
        number = number_of(event.order_id)
        return format_html('<a class="underline" href="{}">{}</a>', url, number)

    @display(description=gettext_lazy("Set aside"), label="danger")
    def set_aside(self, event: FlashEvent) -> str:
        """Said only of an event that could not be booked."""
        return _("set aside") if event.is_poison else ""
