"""Keys to the JSON API: who has which, when it was used, and ending one."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
)

from catalog.callers import STAFF_PERMISSIONS
from catalog.columns import display, moment
from catalog.merchant_forms import DialogForm
from catalog.merchant_views import actor_of, button
from sales import tokens
from sales.models import ApiToken

MOST_DAYS = 365
STATES = {"valid": "success", "revoked": "danger", "expired": ""}


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new token for the account that is signed in."""

    permissions = forms.MultipleChoiceField(
        label=gettext_lazy("What it may do"),
        choices=[(name, name) for name in STAFF_PERMISSIONS],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text=gettext_lazy(
            "Beyond what a shopper may, and never more than you may yourself."
        ),
    )
    days = forms.IntegerField(
        label=gettext_lazy("Valid for days"),
        min_value=1,
        max_value=MOST_DAYS,
        initial=90,
        widget=UnfoldAdminIntegerFieldWidget(),
    )

    class Meta:
        model = ApiToken
        fields = ("name",)


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):  # type: ignore[misc]
    """Tokens, the newest first. A new one is shown once, right after it was made."""

    empty_text = gettext_lazy(
        "A token lets another system use the API in your name, with as few "
        "permissions as it needs."
    )
    list_display = (
        "hint",
        "name",
        "owner",
        "state",
        moment("last_used_at", gettext_lazy("Last used")),
        moment("expires_at", gettext_lazy("Expires")),
    )
    list_select_related = ("user",)
    search_fields = ("name", "user__email", "hint")
    ordering = ("-pk",)
    actions = None
    actions_detail = ("revoke",)
    add_fieldsets = ((None, {"fields": ("name", "permissions", "days")}),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "hint",
                    "name",
                    "user",
                    "may",
                    "is_good",
                    "created_at",
                    "last_used_at",
                    "expires_at",
                    "revoked_at",
                )
            },
        ),
    )

    @display(description=gettext_lazy("Account"), ordering="user__email")
    def owner(self, token: ApiToken) -> str:
        return Truncator(token.user.get_username()).chars(40)

    @display(description=gettext_lazy("What it may do"))
    def may(self, token: ApiToken) -> str:
        if token.scopes is None:
            return _("All its account may")
        return ", ".join(token.scopes) or _("What a shopper may")

    @display(description=gettext_lazy("Valid"), boolean=True)
    def is_good(self, token: ApiToken) -> bool:
        return token.is_valid(timezone.now())

    @display(description=gettext_lazy("State"), label=STATES)
    def state(self, token: ApiToken) -> tuple[str, Any]:
        if token.revoked_at is not None:
            return "revoked", _("Revoked")
        if not token.is_valid(timezone.now()):
            return "expired", _("Expired")
        return "valid", _("Valid")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is None:
            kwargs["form"] = TokenForm
        return super().get_form(request, obj, change, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: ApiToken, form: Any, change: bool
    ) -> None:
        issued = tokens.issue(
            actor_of(request),
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["permissions"],
            lifetime=timedelta(days=form.cleaned_data["days"]),
        )
        obj.pk = issued.row.pk
        request.new_token = issued.text  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: Any = None
    ) -> HttpResponse:
        sentence = _("Copy the token now, it is not shown again:")
        token = request.new_token  # type: ignore[attr-defined]
        code = '{} <code style="overflow-wrap: anywhere">{}</code>'
        messages.success(request, format_html(code, sentence, token))
        return self.response_post_save_add(request, obj)  # type: ignore[no-any-return]

    @button(
        gettext_lazy("Revoke"),
        permission="revoke",
        icon="block",
        sentence=gettext_lazy("Whoever uses this token is shut out at once, for good."),
    )
    def revoke(self, request: HttpRequest, form: DialogForm, token: ApiToken) -> Any:
        tokens.revoke(token)
        return _("The token is revoked.")

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("sales.change_apitoken")

    def has_change_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return False
