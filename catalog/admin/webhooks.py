"""Webhooks: which systems hear of events, and what came back."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from catalog import outbox, outgoing
from catalog.admin.ledgers import LedgerAdmin
from catalog.columns import display, moment
from catalog.merchant_forms import DialogForm
from catalog.merchant_views import button
from catalog.models import WebhookDelivery, WebhookEndpoint

STATES = {"pending": "info", "delivered": "success", "failed": "danger"}


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]
    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        choices=[(kind, kind) for kind in outbox.KINDS if kind != "test"],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text=gettext_lazy("None chosen: all of them."),
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("kinds", "is_active")  # the address comes with the admin's widget

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        if not url.startswith(("https://", "http://")):
            raise ValidationError(_("Only http and https addresses can be called."))
        if "url" in self.changed_data:  # an old one can still be switched off
            try:
                outgoing.check(url)
            except outgoing.NotPublic as error:
                raise ValidationError(str(error)) from error
        return url


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ModelAdmin):  # type: ignore[misc]
    """Where another system hears of events, signed with the endpoint's secret."""

    empty_text = gettext_lazy(
        "An endpoint is an address of another system; it is told of stock, "
        "orders and sales as they change."
    )
    form = EndpointForm
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}
    list_display = ("url", "events", "is_active")
    readonly_fields = ("secret",)
    actions_detail = ("send_test", "rotate_secret")
    fieldsets = ((None, {"fields": ("url", "kinds", "is_active", "secret")}),)
    add_fieldsets = ((None, {"fields": ("url", "kinds", "is_active")}),)

    @display(description=gettext_lazy("Events"))
    def events(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.kinds) or _("all")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The secret is for those who may change the endpoint."""
        if obj is not None and not self.has_change_permission(request):
            return self.add_fieldsets
        return super().get_fieldsets(request, obj)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        response = super().render_change_form(request, context, *args, **kwargs)
        if context["errors"]:
            response.status_code = 422
        return cast(HttpResponse, response)

    @button(
        gettext_lazy("Send a test"),
        permission="change",
        icon="send",
        sentence=gettext_lazy("Sends a “test” event right away and shows the answer."),
        submit=gettext_lazy("Send"),
    )
    def send_test(
        self, request: HttpRequest, form: DialogForm, endpoint: WebhookEndpoint
    ) -> Any:
        answer = outbox.send_test(endpoint)
        if len(answer) == 3 and answer.startswith("2"):
            return _("The endpoint answered %(answer)s.") % {"answer": answer}
        form.add_error(
            None, _("It did not work: %(answer)s") % {"answer": answer or _("silence")}
        )
        return None

    @button(
        gettext_lazy("New secret"),
        permission="change",
        icon="key",
        sentence=gettext_lazy("For a day both secrets sign, so nobody is cut off."),
    )
    def rotate_secret(
        self, request: HttpRequest, form: DialogForm, endpoint: WebhookEndpoint
    ) -> Any:
        outbox.rotate_secret(endpoint)
        return _("There is a new secret. Tell it to the other side within a day.")


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(LedgerAdmin):
    """Each event on its way to an endpoint, and what came back."""

    empty_text = gettext_lazy(
        "What is sent to webhook endpoints is written here, with its answers "
        "and repeats."
    )
    list_display = (
        "event",
        "endpoint",
        "how",
        "attempts",
        "answer",
        moment("next_try_at", gettext_lazy("Next try")),
        moment("delivered_at", gettext_lazy("Delivered")),
    )
    list_select_related = ("event", "endpoint")
    list_filter = (("state", ChoicesDropdownFilter),)
    search_fields = ()
    actions_detail = ("send_again",)

    @display(description=gettext_lazy("State"), label=STATES)
    def how(self, delivery: WebhookDelivery) -> tuple[str, Any]:
        return delivery.state, delivery.get_state_display()

    def has_resend_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("catalog.change_webhookendpoint")

    @button(
        gettext_lazy("Send again"),
        permission="resend",
        icon="replay",
        sentence=gettext_lazy("Puts the delivery back in line."),
    )
    def send_again(
        self, request: HttpRequest, form: DialogForm, delivery: WebhookDelivery
    ) -> Any:
        outbox.send_again(delivery)
        return _("It will be sent with the next round.")
