"""Levels of many products in the dashboard: a preview first, then exactly that.

By a rule for chosen products, by a file, or by a default that products inherit.
"""

from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.cache import cache
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from catalog import level_files, levels
from catalog.files.sheets import UnusableFile
from catalog.merchant_forms import BulkLevelsForm, LevelFileForm
from catalog.merchant_views import actor_of
from catalog.models import Stock

MOST_SHOWN = 100
KEPT_SECONDS = 3600
UNREPEATED = {"csrfmiddlewaretoken", "mark"}


def done_sentence(batch: UUID) -> SafeString:
    """Says that levels were changed, with a link to what was done and its undoing."""
    url = reverse("admin:catalog_thresholdchange_changelist")
    return format_html(
        '{} <a class="underline" href="{}?batch={}">{}</a>.',
        _("The levels are changed. See what was done, or undo it, in"),
        url,
        batch,
        _("the list of level changes"),
    )


def _warn_of_change(request: HttpRequest) -> None:
    messages.warning(
        request,
        _(
            "The stock has changed since the preview, so nothing was changed. "
            "This is what would happen now."
        ),
    )


def _context(admin: ModelAdmin[Any], request: HttpRequest, title: str) -> Any:
    return {
        **admin.admin_site.each_context(request),
        "title": title,
        "most": MOST_SHOWN,
    }


# -- By a rule --------------------------------------------------------------------


def change_levels(
    admin: ModelAdmin[Any], request: HttpRequest, rows: models.QuerySet[Stock]
) -> HttpResponse:
    """One rule for the chosen products."""
    ids = list(rows.order_by("pk").values_list("pk", flat=True))
    is_asked = "preview" in request.POST or "apply" in request.POST
    form = BulkLevelsForm(request.POST if is_asked else None)
    context = {
        **_context(admin, request, _("Change levels")),
        "form": form,
        "count": len(ids),
        "selected": request.POST.getlist("_selected_action"),
        "select_across": request.POST.get("select_across", "0"),
    }
    status = 200
    if is_asked and form.is_valid():
        if "apply" in request.POST:
            try:
                return _apply_rule(request, ids, form)
            except levels.PlanIsStale as stale:
                context["plan"], status = stale.plan, 409
                _warn_of_change(request)
        else:
            context["plan"] = levels.plan(ids, form.rule)
    elif is_asked:
        status = 422
    return render(request, "merchant/change_levels.html", context, status=status)


def _apply_rule(
    request: HttpRequest, ids: list[int], form: BulkLevelsForm
) -> HttpResponse:
    batch = levels.apply(
        ids,
        form.rule,
        mark=request.POST.get("mark", ""),
        actor=actor_of(request),
        reason=form.cleaned_data["reason"],
    )
    messages.success(request, done_sentence(batch))
    return redirect(request.get_full_path())


# -- By a file --------------------------------------------------------------------


def change_by_file(admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    """A file with a number per product; what was read is kept for an hour."""
    context = _context(admin, request, _("Levels from a file"))
    context["form"] = LevelFileForm()
    status = 200
    if request.method == "POST" and "upload" in request.POST:
        form = context["form"] = LevelFileForm(request.POST, request.FILES)
        status = 200 if form.is_valid() and _read(request, form, context) else 422
    elif request.method == "POST":
        if batch := _apply_file(request, context):
            messages.success(request, done_sentence(batch))
            return redirect("admin:catalog_stock_changelist")
        status = 409
    return render(request, "merchant/level_file.html", context, status=status)


def _read(request: HttpRequest, form: LevelFileForm, context: dict[str, Any]) -> bool:
    file = form.cleaned_data["file"]
    try:
        found = level_files.read(file)
    except UnusableFile as error:
        form.add_error("file", str(error))
        return False
    context["found"] = found
    if found.bad_lines:
        return True
    token = uuid4().hex
    kept = {
        "user": request.user.pk,
        "levels": found.levels,
        "reason": form.cleaned_data["reason"] or file.name[:200],
    }
    cache.set(f"levels:{token}", kept, KEPT_SECONDS)
    context |= {"token": token, "plan": levels.plan_levels(found.levels)}
    return True


def _apply_file(request: HttpRequest, context: dict[str, Any]) -> UUID | None:
    """The batch, or nothing and what the file would do now."""
    token = request.POST.get("token", "")
    kept = cache.get(f"levels:{token}")
    if not kept or kept["user"] != request.user.pk:
        messages.error(request, _("That preview is gone. Choose the file once more."))
        return None
    try:
        batch = levels.apply_levels(
            kept["levels"],
            mark=request.POST.get("mark", ""),
            actor=actor_of(request),
            reason=kept["reason"],
        )
    except levels.PlanIsStale as stale:
        context |= {"token": token, "plan": stale.plan}
        _warn_of_change(request)
        return None
    cache.delete(f"levels:{token}")
    return batch


# -- By a default -----------------------------------------------------------------


class DefaultAdmin:
    """For the admin of a row with defaults: saving one shows first what it rewrites.

    `save_model` calls `check_default`; what was not shown yet is rolled back and shown.
    """

    def check_default(self, request: HttpRequest, changed: Any) -> None:
        """Raises PlanIsStale unless what `changed` does was shown."""
        levels.check_default(changed, mark=request.POST.get("mark", ""))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(  # type: ignore[misc,no-any-return]
                request, object_id, form_url, extra_context
            )
        except levels.PlanIsStale as unseen:
            return self._show(request, unseen.plan)

    def _show(self, request: HttpRequest, plan: levels.Plan) -> HttpResponse:
        is_stale = "mark" in request.POST
        if is_stale:
            _warn_of_change(request)
        context = _context(self, request, _("What the new defaults change"))  # type: ignore[arg-type]
        context |= {
            "plan": plan,
            "back": request.get_full_path(),
            "posted": [
                (name, value)
                for name, values in request.POST.lists()
                if name not in UNREPEATED
                for value in values
            ],
        }
        status = 409 if is_stale else 200
        return render(request, "merchant/change_default.html", context, status=status)
