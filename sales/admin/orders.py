"""Orders in the dashboard: find, read, cancel, refund; never edit."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from import_export.admin import ExportMixin
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.contrib.import_export.forms import ExportForm
from unfold.dataclasses import UnfoldAction
from unfold.enums import ActionVariant

from catalog.admin.counted_list import CountedList
from catalog.columns import display, moment
from catalog.merchant_forms import DialogForm
from catalog.merchant_views import actor_of, button
from catalog.templatetags.money import money
from sales import checkout, merchant_views, orders
from sales.admin import timeline
from sales.admin.steps import attempt, for_state
from sales.exports import OrderResource
from sales.merchant_forms import RefundForm, ResendForm
from sales.models import Order, OrderQuerySet, OrderState

ORDER_BADGES = {
    OrderState.HELD.value: "info",
    OrderState.PAYING.value: "info",
    OrderState.PAID.value: "success",
    OrderState.REFUNDED.value: "warning",
    OrderState.EXPIRED.value: "danger",
    OrderState.CANCELLED.value: "danger",
}
ORDER_BUTTONS = {
    "cancel": (OrderState.HELD,),
    "refund": (OrderState.PAID,),
    "resend": tuple(orders.MAILED),
    "refund_now": tuple(OrderState.values),
}


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
    search_help_text = gettext_lazy("Beginning of the number or of the e-mail")
    ordering = ("-created_at", "-pk")
    actions = None
    actions_detail = ("refund_now", "cancel", "refund", "resend")
    resource_classes = (OrderResource,)
    export_form_class = ExportForm
    change_form_template = "merchant/order.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CountedList]:
        return CountedList

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
        self, request: HttpRequest, queryset: OrderQuerySet, search_term: str
    ) -> tuple[OrderQuerySet, bool]:
        """By the beginning of the number or of the address."""
        text = search_term.strip()
        return (queryset.beginning(text) if text else queryset), False

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
                "owed": order.payments.owed().exclude(attempts=0),
                "steps": timeline.of(order),
                "mails": order.mails.all(),
            }
        return super().change_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]

    def get_actions_detail(
        self, request: HttpRequest, object_id: Any
    ) -> list[UnfoldAction]:
        order = self.get_object(request, unquote(str(object_id)))
        allowed = super().get_actions_detail(request, object_id)
        if order is None or not order.payments.owed().exists():
            allowed = [one for one in allowed if "refund_now" not in one.action_name]
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
        if done and order.payments.owed().exists():
            return _("Order %(number)s is refunded; its money is to follow.") % {
                "number": order.number
            }
        return done and _("Order %(number)s is refunded.") % {"number": order.number}

    @button(
        gettext_lazy("Try the refund now"),
        permission="handle",
        icon="refresh",
        sentence=gettext_lazy(
            "Asks the payment provider at once to send the money back. However often "
            "you try, it is sent once."
        ),
        submit=gettext_lazy("Try now"),
    )
    def refund_now(self, request: HttpRequest, form: DialogForm, order: Order) -> Any:
        def step() -> bool:
            checkout.try_refunds(order.pk)
            return True

        return attempt(form, step) and _(
            "The money of order %(number)s is on its way back."
        ) % {"number": order.number}

    @button(
        gettext_lazy("Send e-mail again"),
        permission="handle",
        icon="forward_to_inbox",
        sentence=gettext_lazy(
            "The shopper gets the mail about where the order stands once more."
        ),
        submit=gettext_lazy("Send it"),
        form_class=ResendForm,
    )
    def resend(self, request: HttpRequest, form: ResendForm, order: Order) -> Any:
        after = form.cleaned_data["latest"]

        def step() -> str:
            if orders.mail_again(order.pk, after=after, actor=actor_of(request)):
                return _("The mail to %(email)s goes out within seconds.")
            return _("A mail to %(email)s is on its way already.")

        done = attempt(form, step)
        return done and done % {"email": order.email}
