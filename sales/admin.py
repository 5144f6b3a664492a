"""Flash sales and orders in the dashboard; every step is a call of a service."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db import IntegrityError, models, transaction
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from import_export.admin import ExportMixin
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.contrib.import_export.forms import ExportForm
from unfold.dataclasses import UnfoldAction
from unfold.enums import ActionVariant

from catalog import stock
from catalog.admin import actor_of
from catalog.columns import display, moment
from catalog.merchant_forms import DialogForm
from catalog.merchant_views import button
from catalog.templatetags.money import money
from sales import adjustments, checkout, flash, merchant_views, recovery
from sales.counters import NotLoaded, Unsure
from sales.exports import OrderResource
from sales.merchant_forms import (
    CloneForm,
    ClosingForm,
    FlashSaleForm,
    ItemFormSet,
    LimitForm,
    PriceForm,
    RefundForm,
    UnitsForm,
)
from sales.models import FlashSale, FlashSaleItem, Order, OrderState, SaleState
from sales.orders import NotPossible

SALE_BADGES = dict.fromkeys(SaleState.values, "") | {
    SaleState.SCHEDULED.value: "info",
    SaleState.LOADED.value: "info",
    SaleState.LIVE.value: "success",
    SaleState.PAUSED.value: "warning",
    SaleState.CANCELLED.value: "danger",
}
ORDER_BADGES = {
    OrderState.HELD.value: "info",
    OrderState.PAYING.value: "info",
    OrderState.PAID.value: "success",
    OrderState.REFUNDED.value: "warning",
    OrderState.EXPIRED.value: "danger",
    OrderState.CANCELLED.value: "danger",
}
EDITABLE = (SaleState.DRAFT, SaleState.SCHEDULED)
RUNNING = flash.RUNNING
BUTTONS = {
    "schedule": (SaleState.DRAFT,),
    "preload": (SaleState.SCHEDULED, SaleState.LOADED),
    "pause": (SaleState.LOADED, SaleState.LIVE),
    "resume": (SaleState.PAUSED,),
    "end": RUNNING,
    "cancel": (SaleState.DRAFT, SaleState.SCHEDULED, SaleState.LOADED),
    "change_units": RUNNING,
    "change_price": RUNNING,
    "change_limit": RUNNING,
    "change_closing": RUNNING,
    "clone": tuple(SaleState),
}
ORDER_BUTTONS = {
    "cancel": (OrderState.HELD,),
    "refund": (OrderState.PAID,),
}
Result = TypeVar("Result")


def attempt(form: DialogForm, step: Callable[[], Result]) -> Result | None:
    """Run a service's step; a refusal becomes a sentence on the form, and None."""
    try:
        return step()
    except NotPossible as refusal:
        form.add_error(None, str(refusal))
    except stock.InsufficientStock as refusal:
        left = refusal.shortages[0].sellable
        sentence = ngettext(
            "Only %(left)s unit is available in the shop.",
            "Only %(left)s units are available in the shop.",
            left,
        )
        form.add_error(None, sentence % {"left": left})
    except (NotLoaded, Unsure):
        form.add_error(
            None,
            _(
                "The sale's counters did not answer, so nothing is certain yet. Look "
                "at the live numbers, then try again; repeating is safe."
            ),
        )
    return None


def for_state(
    actions: list[UnfoldAction], prefix: str, state: str | None, table: dict[str, Any]
) -> list[UnfoldAction]:
    """The buttons that make sense in a state."""
    return [
        action
        for action in actions
        if state in table[action.action_name.removeprefix(prefix)]
    ]


# -- Flash sales ------------------------------------------------------------------


class FlashSaleItemInline(TabularInline):  # type: ignore[misc]
    """Products of a sale; whoever may edit the sale may edit them."""

    model = FlashSaleItem
    formset = ItemFormSet
    fields = ("product", "requested_units", "price", "limit_per_buyer")
    autocomplete_fields = ("product",)
    extra = 0
    hide_title = True
    verbose_name = gettext_lazy("product")
    verbose_name_plural = gettext_lazy("products")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[FlashSaleItem]:
        return super().get_queryset(request).select_related("product")  # type: ignore[no-any-return]

    def has_add_permission(
        self, request: HttpRequest, obj: FlashSale | None = None
    ) -> bool:
        return _may_edit(request, obj)

    def has_change_permission(
        self, request: HttpRequest, obj: FlashSale | None = None
    ) -> bool:
        return _may_edit(request, obj)

    def has_delete_permission(
        self, request: HttpRequest, obj: FlashSale | None = None
    ) -> bool:
        return _may_edit(request, obj)

    def has_view_permission(
        self, request: HttpRequest, obj: FlashSale | None = None
    ) -> bool:
        return request.user.has_perm("sales.view_flashsale") or _may_edit(request, obj)


def _hold(sale_id: str) -> None:
    """Lock a sale and its items before a form is compared with them.

    A preload may be allocating this very moment; whoever comes second sees the other.
    """
    if sale_id.isdecimal():
        list(FlashSale.objects.select_for_update().filter(pk=sale_id))
        items = FlashSaleItem.objects.select_for_update().filter(sale=int(sale_id))
        list(items.order_by("pk"))


def _may_edit(request: HttpRequest, sale: FlashSale | None) -> bool:
    if sale is None:
        return request.user.has_perm("sales.add_flashsale")
    return request.user.has_perm("sales.change_flashsale") and sale.state in EDITABLE


@admin.register(FlashSale)
class FlashSaleAdmin(SimpleHistoryAdmin, ModelAdmin):  # type: ignore[misc]
    """The flash-sale desk: a form until it is loaded, then live numbers and buttons."""

    form = FlashSaleForm
    inlines = (FlashSaleItemInline,)
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
                "fields": (("name", "slug"), "opens_at", "closes_at"),
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
        if isinstance(obj, FlashSale) and obj.state not in EDITABLE:
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
            _hold(object_id)
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

    # -- Buttons

    def get_actions_detail(
        self, request: HttpRequest, object_id: Any
    ) -> list[UnfoldAction]:
        sale = self.get_object(request, unquote(str(object_id)))
        allowed = super().get_actions_detail(request, object_id)
        return for_state(allowed, "sales_flashsale_", sale and sale.state, BUTTONS)

    @button(
        gettext_lazy("Schedule"),
        permission="change",
        icon="event_available",
        sentence=gettext_lazy(
            "From now on the sale is loaded and opened in time, by itself."
        ),
        variant=ActionVariant.PRIMARY,
    )
    def schedule(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)
        done = attempt(form, lambda: flash.schedule(sale.pk, actor=actor))
        return done and _("“%(sale)s” is scheduled.") % {"sale": sale}

    @button(
        gettext_lazy("Preload now"),
        permission="change",
        icon="bolt",
        sentence=gettext_lazy(
            "Sets the units aside and makes the sale ready to open. Safe to repeat."
        ),
        variant=ActionVariant.PRIMARY,
    )
    def preload(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)

        def load() -> list[flash.Preloaded]:
            outcomes = flash.preload(sale.pk, actor=actor)
            recovery.open_fence()
            return outcomes

        outcomes = attempt(form, load)
        if outcomes is None:
            return None
        for outcome in outcomes:
            if outcome.error:
                messages.error(request, f"{outcome.sku}: {outcome.error}")
        loaded = [outcome for outcome in outcomes if not outcome.error]
        sentence = ngettext(
            "%(count)s product is loaded, with %(units)s units in all.",
            "%(count)s products are loaded, with %(units)s units in all.",
            len(loaded),
        )
        units = sum(outcome.units for outcome in loaded)
        return sentence % {"count": len(loaded), "units": units}

    @button(
        gettext_lazy("Pause"),
        permission="change",
        icon="pause",
        sentence=gettext_lazy(
            "Nobody can claim until you resume. Open holds may still be paid."
        ),
        variant=ActionVariant.WARNING,
    )
    def pause(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)
        done = attempt(form, lambda: flash.pause(sale.pk, actor=actor))
        return done and _("“%(sale)s” is paused.") % {"sale": sale}

    @button(
        gettext_lazy("Resume"),
        permission="change",
        icon="play_arrow",
        sentence=gettext_lazy("Shoppers can claim again at once."),
        variant=ActionVariant.SUCCESS,
    )
    def resume(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)
        done = attempt(form, lambda: flash.resume(sale.pk, actor=actor))
        return done and _("“%(sale)s” runs again.") % {"sale": sale}

    @button(
        gettext_lazy("End now"),
        permission="change",
        icon="stop",
        sentence=gettext_lazy(
            "Ends the sale for good. Open holds may still be paid; what is left goes "
            "back to the shop."
        ),
        variant=ActionVariant.DANGER,
    )
    def end(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)
        done = attempt(form, lambda: flash.end(sale.pk, actor=actor))
        return done and _("“%(sale)s” has ended.") % {"sale": sale}

    @button(
        gettext_lazy("Cancel sale"),
        permission="change",
        icon="cancel",
        sentence=gettext_lazy(
            "The sale will not take place; loaded units go back to the shop."
        ),
        submit=gettext_lazy("Cancel the sale"),
        variant=ActionVariant.DANGER,
    )
    def cancel(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        actor = actor_of(request)
        done = attempt(form, lambda: flash.cancel(sale.pk, actor=actor))
        return done and _("“%(sale)s” is cancelled.") % {"sale": sale}

    @button(
        gettext_lazy("Add or take back units"),
        permission="change",
        icon="exposure",
        form_class=UnitsForm,
    )
    def change_units(
        self, request: HttpRequest, form: UnitsForm, sale: FlashSale
    ) -> Any:
        item, reason = form.cleaned_data["item"], form.cleaned_data["reason"]

        def change() -> bool:
            adjustments.change_units(
                item.pk, form.delta, actor=actor_of(request), reason=reason
            )
            return True

        return attempt(form, change) and _("%(product)s: %(delta)s units.") % {
            "product": item.product,
            "delta": f"{form.delta:+d}",
        }

    @button(
        gettext_lazy("Change a price"),
        permission="change",
        icon="sell",
        form_class=PriceForm,
    )
    def change_price(
        self, request: HttpRequest, form: PriceForm, sale: FlashSale
    ) -> Any:
        item, price = form.cleaned_data["item"], form.cleaned_data["price"]

        def change() -> bool:
            adjustments.change_price(
                item.pk,
                price,
                actor=actor_of(request),
                reason=form.cleaned_data["reason"],
            )
            return True

        return attempt(form, change) and _(
            "%(product)s costs %(price)s for new claims."
        ) % {"product": item.product, "price": price}

    @button(
        gettext_lazy("Change a limit per buyer"),
        permission="change",
        icon="person",
        form_class=LimitForm,
    )
    def change_limit(
        self, request: HttpRequest, form: LimitForm, sale: FlashSale
    ) -> Any:
        item, limit = form.cleaned_data["item"], form.cleaned_data["limit"]

        def change() -> bool:
            adjustments.change_limit(item.pk, limit, actor=actor_of(request))
            return True

        return attempt(form, change) and _(
            "%(product)s: at most %(limit)s a buyer."
        ) % {
            "product": item.product,
            "limit": limit,
        }

    @button(
        gettext_lazy("Close at another time"),
        permission="change",
        icon="schedule",
        form_class=ClosingForm,
    )
    def change_closing(
        self, request: HttpRequest, form: ClosingForm, sale: FlashSale
    ) -> Any:
        closes_at = form.cleaned_data["closes_at"]

        def change() -> bool:
            adjustments.change_closing(sale.pk, closes_at, actor=actor_of(request))
            return True

        return attempt(form, change) and _("“%(sale)s” closes at %(at)s UTC.") % {
            "sale": sale,
            "at": f"{closes_at:%Y-%m-%d %H:%M}",
        }

    @button(
        gettext_lazy("Clone"),
        permission="add",
        icon="content_copy",
        sentence=gettext_lazy("Makes a draft with the same products and prices."),
        form_class=CloneForm,
    )
    def clone(self, request: HttpRequest, form: CloneForm, sale: FlashSale) -> Any:
        try:
            copy = _copy(sale, form.cleaned_data)
        except IntegrityError:
            form.add_error(
                "opens_at",
                _(
                    "Some of its products are in another sale at that time. "
                    "Choose a later time."
                ),
            )
            return None
        return _("“%(sale)s” is a draft now; find it in the list.") % {"sale": copy}


@transaction.atomic
def _copy(sale: FlashSale, typed: dict[str, Any]) -> FlashSale:
    """A draft with the same items; the database refuses overlapping windows."""
    opens_at = typed["opens_at"]
    copy = FlashSale.objects.create(
        name=typed["name"],
        slug=f"{slugify(typed['name'])[:110]}-{opens_at:%Y%m%d%H%M%S}",
        opens_at=opens_at,
        closes_at=opens_at + (sale.closes_at - sale.opens_at),
    )
    for item in sale.items.all():
        FlashSaleItem.objects.create(
            sale=copy,
            product=item.product,
            price=item.price,
            requested_units=item.requested_units,
            limit_per_buyer=item.limit_per_buyer,
            opens_at=copy.opens_at,
            closes_at=copy.closes_at,
        )
    return copy


# -- Orders -----------------------------------------------------------------------


class ChannelFilter(DropdownFilter):  # type: ignore[misc]
    title = gettext_lazy("channel")
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("shop", gettext_lazy("Shop")),
            ("flash", gettext_lazy("Flash sale")),
        ]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Order]
    ) -> models.QuerySet[Order]:
        if self.value() in ("shop", "flash"):
            return queryset.filter(flash_item__isnull=self.value() == "shop")
        return queryset


@admin.register(Order)
class OrderAdmin(ExportMixin, ModelAdmin):  # type: ignore[misc]
    """Orders to find, read, cancel and refund; their rows are never edited."""

    list_display = (
        "number_link",
        "state_now",
        "channel",
        "email",
        "amount",
        moment("created_at", gettext_lazy("Begun (UTC)")),
        "held_until",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ChannelFilter,
        ("created_at", RangeDateTimeFilter),
    )
    list_filter_submit = True
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("email",)
    search_help_text = gettext_lazy("Order number or e-mail address")
    ordering = ("-created_at", "-pk")
    actions = None
    actions_detail = ("cancel", "refund")
    resource_classes = (OrderResource,)
    export_form_class = ExportForm
    change_form_template = "merchant/order.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        urls: list[URLPattern] = [
            path("chart/", view(merchant_views.chart), name="sales_chart"),
            path(
                "promises/<int:product_id>/",
                view(merchant_views.promises),
                name="sales_stock_promises",
            ),
        ]
        return urls + super().get_urls()  # type: ignore[no-any-return]

    # -- List

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Order]:
        return super().get_queryset(request).select_related("flash_item__sale")  # type: ignore[no-any-return]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Order], search_term: str
    ) -> tuple[models.QuerySet[Order], bool]:
        """By the beginning of the number (which the primary key's index finds)."""
        text = search_term.strip().replace("-", "").lower()
        if not text:
            return queryset, False
        if len(text) <= 32 and all(c in "0123456789abcdef" for c in text):
            first, last = UUID(text.ljust(32, "0")), UUID(text.ljust(32, "f"))
            return queryset.filter(pk__range=(first, last)), False
        return queryset.filter(email__icontains=search_term.strip()), False

    @display(description=gettext_lazy("Number"), ordering="pk")
    def number_link(self, order: Order) -> str:
        return order.number

    @display(description=gettext_lazy("State"), ordering="state", label=ORDER_BADGES)
    def state_now(self, order: Order) -> tuple[str, Any]:
        return order.state, order.get_state_display()

    @display(description=gettext_lazy("Channel"))
    def channel(self, order: Order) -> str:
        if order.flash_item is None:
            return _("Shop")
        return order.flash_item.sale.name

    @display(description=gettext_lazy("Total"), ordering="total")
    def amount(self, order: Order) -> str:
        return money(order.total, order.currency)

    @display(description=gettext_lazy("Held until"), ordering="expires_at")
    def held_until(self, order: Order) -> str:
        return f"{order.expires_at:%H:%M:%S}" if order.is_open else "-"

    # -- Who may what

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Order | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Order | None = None
    ) -> bool:
        return False

    def has_handle_permission(
        self, request: HttpRequest, obj: Order | str | None = None
    ) -> bool:
        """Whether this person may cancel and refund."""
        return request.user.has_perm("sales.change_order")

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)  # type: ignore[no-any-return]

    # -- One order

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        order = self.get_object(request, object_id)
        if order is not None:
            extra_context = {
                **(extra_context or {}),
                "title": _("Order %(number)s") % {"number": order.number},
                "order": order,
                "badge": order.get_state_display(),
                "badge_type": ORDER_BADGES[order.state],
                "lines": order.lines.select_related("product"),
                "payments": order.payments.all(),
                "events": order.events.select_related("actor"),
            }
        return super().change_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]

    def get_actions_detail(
        self, request: HttpRequest, object_id: Any
    ) -> list[UnfoldAction]:
        order = self.get_object(request, unquote(str(object_id)))
        allowed = super().get_actions_detail(request, object_id)
        return for_state(allowed, "sales_order_", order and order.state, ORDER_BUTTONS)

    @button(
        gettext_lazy("Cancel order"),
        permission="handle",
        icon="cancel",
        sentence=gettext_lazy("Its units go back on sale at once."),
        submit=gettext_lazy("Cancel the order"),
        variant=ActionVariant.DANGER,
    )
    def cancel(self, request: HttpRequest, form: DialogForm, order: Order) -> Any:
        def step() -> bool:
            checkout.cancel(order.pk, actor=actor_of(request))
            return True

        return attempt(form, step) and _("Order %(number)s is cancelled.") % {
            "number": order.number
        }

    @button(
        gettext_lazy("Refund"),
        permission="handle",
        icon="undo",
        sentence=gettext_lazy("Sends the whole amount back to the shopper."),
        submit=gettext_lazy("Refund the order"),
        form_class=RefundForm,
        variant=ActionVariant.WARNING,
    )
    def refund(self, request: HttpRequest, form: RefundForm, order: Order) -> Any:
        typed = form.cleaned_data
        done = attempt(
            form,
            lambda: checkout.refund(
                order.pk,
                restock=typed["restock"],
                actor=actor_of(request),
                note=typed["reason"],
            ),
        )
        return done and _("Order %(number)s is refunded.") % {"number": order.number}
