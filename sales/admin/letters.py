"""Mails to shoppers and notifications of payment providers: what came, what went."""

from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.dataclasses import UnfoldAction

from catalog.admin.ledgers import LedgerAdmin
from catalog.columns import display, moment
from catalog.merchant_forms import DialogForm
from catalog.merchant_views import button
from sales import mails, notices
from sales.admin.steps import attempt
from sales.models import Order, OrderMail, PaymentNotice

MAIL_STATES = {
    "sent": gettext_lazy("Sent"),
    "waiting": gettext_lazy("Waiting"),
    "given_up": gettext_lazy("Given up"),
}
MAIL_BADGES = {"sent": "success", "waiting": "info", "given_up": "danger"}
NOTICE_STATES = {
    "done": gettext_lazy("Done"),
    "doubt": gettext_lazy("Look at it"),
    "open": gettext_lazy("Not handled yet"),
}
NOTICE_BADGES = {"done": "success", "doubt": "warning", "open": "danger"}


def order_link(order: Order) -> str:
    url = reverse("admin:sales_order_change", args=[order.pk])
    return format_html('<a class="underline" href="{}">{}</a>', url, order.number)


class MailStateFilter(DropdownFilter):  # type: ignore[misc]
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(MAIL_STATES.items())

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[OrderMail]
    ) -> models.QuerySet[OrderMail]:
        unsent = queryset.filter(sent_at=None)
        return {
            "sent": queryset.exclude(sent_at=None),
            "waiting": unsent.exclude(next_try_at=None),
            "given_up": unsent.filter(next_try_at=None),
        }.get(self.value() or "", queryset)


@admin.register(OrderMail)
class OrderMailAdmin(LedgerAdmin):
    """Mails about orders, the newest first; one that did not go is tried again."""

    empty_text = gettext_lazy(
        "What shoppers are told about their orders by e-mail is listed here."
    )
    list_display = (
        moment("created_at", gettext_lazy("When")),
        "order_number",
        "recipient",
        "what",
        "how",
        "attempts",
        moment("sent_at", gettext_lazy("Sent")),
        "error",
    )
    list_select_related = ("order",)
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        MailStateFilter,
        ("created_at", RangeDateTimeFilter),
    )
    list_disable_select_all = False
    search_fields = ("order__email",)
    search_help_text = gettext_lazy("Beginning of the order's number or of the e-mail")
    actions = ("try_all_again",)
    actions_detail = ("try_again",)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        return queryset.filter(order__in=Order.objects.beginning(text)), False

    @display(description=gettext_lazy("Order"))
    def order_number(self, mail: OrderMail) -> str:
        return order_link(mail.order)

    @display(description=gettext_lazy("To"))
    def recipient(self, mail: OrderMail) -> str:
        return mail.order.email

    @display(description=gettext_lazy("Mail"), ordering="kind")
    def what(self, mail: OrderMail) -> str:
        return mail.get_kind_display()

    @display(description=gettext_lazy("State"), label=MAIL_BADGES)
    def how(self, mail: OrderMail) -> tuple[str, Any]:
        state = (
            "sent" if mail.sent_at else "waiting" if mail.next_try_at else "given_up"
        )
        return state, MAIL_STATES[state]

    def has_retry_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("sales.change_order")

    def get_actions_detail(
        self, request: HttpRequest, object_id: Any
    ) -> list[UnfoldAction]:
        mail = self.get_object(request, str(object_id))
        if mail is None or mail.sent_at:
            return []
        return super().get_actions_detail(request, object_id)  # type: ignore[no-any-return]

    @button(
        gettext_lazy("Try again"),
        permission="retry",
        icon="replay",
        sentence=gettext_lazy("Puts the mail back in line, as if it was new."),
    )
    def try_again(self, request: HttpRequest, form: DialogForm, mail: OrderMail) -> Any:
        if not mails.try_again([mail.pk], now=timezone.now()):
            form.add_error(None, _("This mail is sent already."))
            return None
        return _("It goes out within seconds.")

    @admin.action(
        description=gettext_lazy("Try again those not sent"), permissions=["retry"]
    )
    def try_all_again(
        self, request: HttpRequest, queryset: models.QuerySet[OrderMail]
    ) -> None:
        mail_ids = queryset.values_list("pk", flat=True)
        lined_up = mails.try_again(mail_ids, now=timezone.now())
        sentence = ngettext(
            "%(count)s mail is back in line.",
            "%(count)s mails are back in line.",
            lined_up,
        )
        messages.success(request, sentence % {"count": lined_up})


class HandledFilter(DropdownFilter):  # type: ignore[misc]
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(NOTICE_STATES.items())

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[PaymentNotice]
    ) -> models.QuerySet[PaymentNotice]:
        handled = queryset.exclude(handled_at=None)
        return {
            "done": handled.filter(note=""),
            "doubt": handled.exclude(note=""),
            "open": queryset.filter(handled_at=None),
        }.get(self.value() or "", queryset)


@admin.register(PaymentNotice)
class PaymentNoticeAdmin(LedgerAdmin):
    """What payment providers told us, and what became of it."""

    empty_text = gettext_lazy(
        "What payment providers report is kept here, with what followed from it."
    )
    list_display = (
        moment("received_at", gettext_lazy("When")),
        "gateway",
        "outcome",
        "sum",
        "order_number",
        "how",
        moment("handled_at", gettext_lazy("Handled")),
        "note",
    )
    list_select_related = ("payment__order",)
    list_filter = (HandledFilter, ("received_at", RangeDateTimeFilter))
    search_fields = ("event_id",)
    search_help_text = gettext_lazy("The provider's event or reference")
    actions_detail = ("handle_now",)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        found = models.Q(event_id=text) | models.Q(reference=text)
        return queryset.filter(found), False

    @display(description=gettext_lazy("Amount"))
    def sum(self, notice: PaymentNotice) -> str:
        if notice.amount is None:
            return "-"
        return f"{notice.amount} {notice.currency}"

    @display(description=gettext_lazy("Order"))
    def order_number(self, notice: PaymentNotice) -> str:
        return order_link(notice.payment.order) if notice.payment else "-"

    @display(description=gettext_lazy("State"), label=NOTICE_BADGES)
    def how(self, notice: PaymentNotice) -> tuple[str, Any]:
        state = "done" if not notice.note else "doubt"
        state = state if notice.handled_at else "open"
        return state, NOTICE_STATES[state]

    def has_retry_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("sales.change_order")

    def get_actions_detail(
        self, request: HttpRequest, object_id: Any
    ) -> list[UnfoldAction]:
        notice = self.get_object(request, str(object_id))
        if notice is None or notice.handled_at:
            return []
        return super().get_actions_detail(request, object_id)  # type: ignore[no-any-return]

    @button(
        gettext_lazy("Handle it now"),
        permission="retry",
        icon="replay",
        sentence=gettext_lazy("Does what it says once more; repeating is safe."),
    )
    def handle_now(
        self, request: HttpRequest, form: DialogForm, notice: PaymentNotice
    ) -> Any:
        row = attempt(form, lambda: notices.handle_now(notice.pk))
        if row is None:
            return None
        if row.handled_at is None:
            form.add_error(None, _("It did not work: %(why)s") % {"why": row.note})
            return None
        return row.note or _("It is handled.")
