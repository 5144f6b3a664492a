"""The flash-sale desk: plan a sale, then watch and steer it."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db import models, transaction
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.dataclasses import UnfoldAction

from catalog.admin.history import HistoryAdmin
from catalog.columns import display, moment
from sales import flash, merchant_views
from sales.admin import room_buttons, sale_items
from sales.admin.room_buttons import RoomButtons
from sales.admin.sale_buttons import BUTTONS, ChangeButtons, LifeButtons
from sales.admin.steps import for_state
from sales.merchant_forms import FlashSaleForm
from sales.models import FlashSale, SaleState

SALE_BADGES = dict.fromkeys(SaleState.values, "") | {
    SaleState.SCHEDULED.value: "info",
    SaleState.LOADED.value: "info",
    SaleState.LIVE.value: "success",
    SaleState.PAUSED.value: "warning",
    SaleState.CANCELLED.value: "danger",
}


@admin.register(FlashSale)
class FlashSaleAdmin(
    LifeButtons,
    ChangeButtons,
    RoomButtons,
    HistoryAdmin,
    ModelAdmin,  # type: ignore[misc]
):
    """The flash-sale desk: a form until it is loaded, then live numbers and buttons."""

    form = FlashSaleForm
    inlines = (sale_items.FlashSaleItemInline,)
    list_display = (
        "name",
        "state_now",
        moment("opens_at", gettext_lazy("Opens (UTC)")),
        moment("closes_at", gettext_lazy("Closes (UTC)")),
        "products",
        "units",
        "paid",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("opens_at", RangeDateTimeFilter),
    )
    list_filter_submit = True
    list_per_page = 50
    search_fields = ("name", "slug")
    ordering = ("-opens_at", "-pk")
    prepopulated_fields = {"slug": ("name",)}
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "slug"),
                    "opens_at",
                    "closes_at",
                    "has_waiting_room",
                ),
                "description": gettext_lazy("All times are UTC."),
            },
        ),
    )
    actions = None
    actions_detail = (
        "schedule",
        "preload",
        "pause",
        "resume",
        "end",
        "cancel",
        {
            "title": gettext_lazy("More"),
            "icon": "tune",
            "items": (
                "change_units",
                "change_price",
                "change_limit",
                "change_closing",
                "open_room",
                "close_room",
                "clone",
            ),
        },
    )
    change_form_outer_before_template = "merchant/_flash_live_slot.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        urls: list[URLPattern] = [
            path("overview/", view(merchant_views.overview), name="sales_overview"),
            path(
                "<int:sale_id>/live/",
                view(merchant_views.live),
                name="sales_flashsale_live",
            ),
            path(
                "<int:sale_id>/preflight/",
                view(merchant_views.preflight_check),
                name="sales_flashsale_preflight",
            ),
            path(
                "<int:sale_id>/report/",
                view(merchant_views.sale_report),
                name="sales_flashsale_report",
            ),
            path(
                "<int:sale_id>/audit/",
                view(merchant_views.audit_sale),
                name="sales_flashsale_audit",
            ),
            path(
                "item/<int:item_id>/",
                view(merchant_views.item),
                name="sales_flash_item",
            ),
        ]
        return urls + super().get_urls()  # type: ignore[no-any-return]

    # -- List

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[FlashSale]:
        sales: models.QuerySet[FlashSale] = super().get_queryset(request)
        return sales.annotate(
            item_count=Count("items"),
            unit_count=Sum("items__units"),
            paid_count=Sum("items__paid"),
        )

    @display(description=gettext_lazy("State"), ordering="state", label=SALE_BADGES)
    def state_now(self, sale: FlashSale) -> tuple[str, Any]:
        return sale.state, sale.get_state_display()

    @display(description=gettext_lazy("Products"), ordering="item_count")
    def products(self, sale: Any) -> int:
        return int(sale.item_count)

    @display(description=gettext_lazy("Units"), ordering="unit_count")
    def units(self, sale: Any) -> int:
        return int(sale.unit_count or 0)

    @display(description=gettext_lazy("Paid"), ordering="paid_count")
    def paid(self, sale: Any) -> int:
        return int(sale.paid_count or 0)

    # -- Form

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return super().has_add_permission(request)  # type: ignore[no-any-return]

    def has_change_permission(
        self, request: HttpRequest, obj: FlashSale | str | None = None
    ) -> bool:
        if isinstance(obj, FlashSale) and obj.state not in sale_items.EDITABLE:
            return False
        return request.user.has_perm("sales.change_flashsale")

    def has_delete_permission(
        self, request: HttpRequest, obj: FlashSale | None = None
    ) -> bool:
        if obj is not None and obj.state != SaleState.DRAFT:
            return False
        return super().has_delete_permission(request, obj)  # type: ignore[no-any-return]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponseBase:
        if request.method != "POST" or object_id is None:
            return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]
        with transaction.atomic():
            sale_items.hold(object_id)
            return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]

    def save_formset(
        self, request: HttpRequest, form: Any, formset: Any, change: bool
    ) -> None:
        """Items take the sale's window with them; the database compares it."""
        sale: FlashSale = form.instance
        window = {"opens_at": sale.opens_at, "closes_at": sale.closes_at}
        items = formset.save(commit=False)
        for item in formset.deleted_objects:
            item.delete()
        sale.items.update(**window)
        for item in items:
            item.opens_at, item.closes_at = sale.opens_at, sale.closes_at
            item.save()
        formset.save_m2m()

    def get_actions_detail(
        self, request: HttpRequest, object_id: Any
    ) -> list[UnfoldAction]:
        sale = self.get_object(request, unquote(str(object_id)))
        allowed = super().get_actions_detail(request, object_id)
        table = BUTTONS | room_buttons.BUTTONS
        buttons = for_state(allowed, "sales_flashsale_", sale and sale.state, table)
        buttons = room_buttons.fitting(buttons, sale)
        if sale is None or flash.can_resume(sale):
            return buttons
        return [b for b in buttons if b.action_name != "sales_flashsale_resume"]
