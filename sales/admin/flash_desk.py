"""The flash-sale desk: plan a sale, then watch and steer it."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db import IntegrityError, models, transaction
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
)
from unfold.dataclasses import UnfoldAction
from unfold.enums import ActionVariant

from catalog.admin.history import HistoryAdmin
from catalog.columns import display, moment
from catalog.merchant_forms import DialogForm
from catalog.merchant_views import actor_of, button
from sales import adjustments, flash, merchant_views, recovery
from sales.admin.steps import attempt, for_state
from sales.merchant_forms import (
    CloneForm,
    ClosingForm,
    FlashSaleForm,
    ItemFormSet,
    LimitForm,
    PriceForm,
    UnitsForm,
)
from sales.models import FlashSale, FlashSaleItem, SaleState

SALE_BADGES = dict.fromkeys(SaleState.values, "") | {
    SaleState.SCHEDULED.value: "info",
    SaleState.LOADED.value: "info",
    SaleState.LIVE.value: "success",
    SaleState.PAUSED.value: "warning",
    SaleState.CANCELLED.value: "danger",
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
class FlashSaleAdmin(HistoryAdmin, ModelAdmin):  # type: ignore[misc]
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
