"""Alerts: what a merchant should know, and who else is told."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from catalog.admin.ledgers import LedgerAdmin
from catalog.columns import ALERT_BADGES, display, moment
from catalog.merchant_views import actor_of
from catalog.models import Alert, AlertKind, AlertRule


class SeenFilter(DropdownFilter):  # type: ignore[misc]
    title = gettext_lazy("seen")
    parameter_name = "seen"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("no", gettext_lazy("Not yet")), ("yes", gettext_lazy("Seen"))]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Alert]
    ) -> models.QuerySet[Alert]:
        if self.value() in ("no", "yes"):
            return queryset.filter(seen_at__isnull=self.value() == "no")
        return queryset


@admin.register(Alert)
class AlertAdmin(LedgerAdmin):
    """Alerts stay until somebody has seen them."""

    empty_text = gettext_lazy(
        "No alerts: nothing is low, nothing is out, and every number holds."
    )
    list_display = (
        moment("created_at", gettext_lazy("When")),
        "what",
        "text",
        moment("seen_at", gettext_lazy("Seen")),
        "seen_by",
    )
    list_select_related = ("product", "seen_by")
    list_filter = (("kind", ChoicesDropdownFilter), SeenFilter)
    actions = ("mark_seen",)
    list_disable_select_all = False

    @display(description=gettext_lazy("Alert"), label=ALERT_BADGES)
    def what(self, alert: Alert) -> tuple[str, Any]:
        return alert.kind, alert.get_kind_display()

    def has_see_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("catalog.change_alert")

    @admin.action(description=gettext_lazy("Mark as seen"), permissions=["see"])
    def mark_seen(self, request: HttpRequest, queryset: models.QuerySet[Alert]) -> None:
        seen = Alert.objects.filter(pk__in=queryset.values("pk"), seen_at=None).update(
            seen_at=timezone.now(), seen_by=actor_of(request)
        )
        sentence = ngettext("%(count)s alert seen.", "%(count)s alerts seen.", seen)
        messages.success(request, sentence % {"count": seen})


class AlertRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = AlertRule
        fields = "__all__"  # noqa: DJ007  the admin's fieldsets decide

    def clean_emails(self) -> str:
        addresses = [part.strip() for part in self.cleaned_data["emails"].split(",")]
        addresses = [address for address in addresses if address]
        for address in addresses:
            try:
                validate_email(address)
            except ValidationError as error:
                raise ValidationError(
                    _("“%(address)s” is not an e-mail address."),
                    params={"address": address},
                ) from error
        return ", ".join(addresses)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not (self.errors or cleaned["emails"] or cleaned.get("endpoint")):
            self.add_error(
                "emails", _("Type at least one address, or choose a webhook below.")
            )
        if cleaned.get("product") and cleaned.get("category"):
            self.add_error(
                "category", _("Choose a product or a category, not both at once.")
            )
        return cleaned


@admin.register(AlertRule)
class AlertRuleAdmin(ModelAdmin):  # type: ignore[misc]
    """Who is told of what; every alert is shown in the dashboard anyway."""

    empty_text = gettext_lazy(
        "A rule says who is told of an alert. Alerts are kept here in any case."
    )
    form = AlertRuleForm
    list_display = ("what", "scope", "told", "is_digest", "is_active")
    list_filter = (("kind", ChoicesDropdownFilter), "is_active")
    list_filter_submit = True
    list_select_related = ("product", "category")
    autocomplete_fields = ("product", "category")
    fieldsets = (
        (None, {"fields": ("kind", "emails", "endpoint", "is_active")}),
        (gettext_lazy("For which products"), {"fields": ("category", "product")}),
        (
            gettext_lazy("How often"),
            {"fields": ("quiet_minutes", "out_hours", "is_digest")},
        ),
    )

    @display(description=gettext_lazy("Alert"), label=ALERT_BADGES)
    def what(self, rule: AlertRule) -> tuple[str, Any]:
        return rule.kind, AlertKind(rule.kind).label

    @display(description=gettext_lazy("For"))
    def scope(self, rule: AlertRule) -> str:
        return str(rule.product or rule.category or _("the whole store"))

    @display(description=gettext_lazy("Who is told"))
    def told(self, rule: AlertRule) -> str:
        return rule.told

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """An endpoint's address is for those who may see endpoints."""
        name, first = self.fieldsets[0]
        if request.user.has_perm("catalog.view_webhookendpoint"):
            return self.fieldsets
        fields = tuple(field for field in first["fields"] if field != "endpoint")
        return ((name, {"fields": fields}), *self.fieldsets[1:])
