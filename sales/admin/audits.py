"""Runs of the audit: what was checked, and what did not hold."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter

from catalog.admin.ledgers import LedgerAdmin
from catalog.columns import display, moment
from sales.merchant_views import VERDICT_BADGES
from sales.models import AuditRun


@admin.register(AuditRun)
class AuditRunAdmin(LedgerAdmin):
    """What the audit found, a run a row; the newest first."""

    empty_text = gettext_lazy(
        "The audit runs every minute while the schedule runs. Start it at once "
        "with manage.py audit_stock."
    )
    list_display = (
        moment("created_at", gettext_lazy("When")),
        "outcome",
        "checked",
        "violated",
    )
    list_filter = (
        ("verdict", ChoicesDropdownFilter),
        ("created_at", RangeDateTimeFilter),
    )
    search_fields = ()
    change_form_template = "merchant/audit_run.html"

    @display(description=gettext_lazy("Verdict"), label=VERDICT_BADGES)
    def outcome(self, run: AuditRun) -> tuple[str, Any]:
        return run.verdict, run.get_verdict_display()

    @display(description=gettext_lazy("Checks"))
    def checked(self, run: AuditRun) -> int:
        return len(run.result["findings"])

    @display(description=gettext_lazy("Violated"))
    def violated(self, run: AuditRun) -> int:
        return len(run.violations)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        if run is not None:
            extra_context = {
                **(extra_context or {}),
                "title": _("Audit"),
                "report": run.result,
                "verdict": run.get_verdict_display(),
                "verdict_type": VERDICT_BADGES[run.verdict],
            }
        return super().change_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]
