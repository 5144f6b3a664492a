"""The dashboard's pages of an import: look at a file, then import all of it or nothing.

A short file is read and imported while the merchant waits; a long one is left to a
worker, and a page shows how far it is.
"""

from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from catalog import import_runs, imports
from catalog.files import workbooks
from catalog.files.sheets import UnusableFile
from catalog.import_plan import Plan
from catalog.merchant_forms import ImportForm
from catalog.merchant_views import actor_of
from catalog.models import ImportRun

MOST_SHOWN = 100
RECENT = 5
KEPT_SECONDS = 3600
# Bytes: about three thousand products, whose import takes a few seconds.
LONG = 300_000
LONG_WORKBOOK = 100_000  # it is packed
PERMISSIONS = (
    "catalog.add_product",
    "catalog.change_product",
    "catalog.change_stock",
)


def import_products(admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    """A file in, a report of what it would change out; then all of it or nothing.

    What was shown is kept for an hour. "Import" does exactly that, or shows the new
    report when the shop has changed in between.
    """
    runs = ImportRun.objects.filter(actor=actor_of(request)).defer("content")
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "title": _("Import products"),
        "runs": runs[:RECENT],
    }
    form = ImportForm()
    status = 200
    if request.method == "POST" and "upload" in request.POST:
        form = ImportForm(request.POST, request.FILES)
        if form.is_valid() and (run := _long_run(request, form)):
            return redirect("admin:catalog_product_import_run", run.pk)
        status = 200 if form.is_valid() and _preview(request, form, context) else 422
    elif request.method == "POST":
        if done := _import(request, context):
            messages.success(request, done)
            return redirect("admin:catalog_product_changelist")
        status = 409
    context["form"] = form
    return render(request, "merchant/import.html", context, status=status)


def import_run(
    admin: ModelAdmin[Any], request: HttpRequest, run_id: UUID
) -> HttpResponse:
    """How far the import of a long file is; "Import" does what its report says.

    Only for who began it. htmx gets the changing part alone.
    """
    mine = ImportRun.objects.filter(actor=actor_of(request)).defer("content")
    run = get_object_or_404(mine, pk=run_id)
    if request.method == "POST":
        import_runs.confirm(run.pk, actor=actor_of(request))
        return redirect("admin:catalog_product_import_run", run.pk)
    context = {"run": run, "report": run.report}
    if request.headers.get("HX-Target") == "import-run":
        return render(request, "merchant/_import_run.html", context)
    context |= {
        **admin.admin_site.each_context(request),
        "title": _("Import of %(file)s") % {"file": run.file_name},
    }
    return render(request, "merchant/import_run.html", context)


def _long_run(request: HttpRequest, form: ImportForm) -> ImportRun | None:
    """A run of a worker for a file that is too long to wait for."""
    file = form.cleaned_data["file"]
    begins = file.read(len(workbooks.MARK))
    file.seek(0)
    most = LONG_WORKBOOK if begins == workbooks.MARK else LONG
    if file.size <= most:
        return None
    return import_runs.begin(file.read(), name=file.name, actor=actor_of(request))


def _preview(request: HttpRequest, form: ImportForm, context: dict[str, Any]) -> bool:
    file = form.cleaned_data["file"]
    try:
        plan = imports.plan(file, name=file.name)
    except UnusableFile as error:
        form.add_error("file", str(error))
        return False
    file.seek(0)
    _show(request, plan, file.read(), context)
    return True


def _show(
    request: HttpRequest, plan: Plan, content: bytes, context: dict[str, Any]
) -> None:
    """Keep the file with the mark of what is shown, for the one who sees it."""
    token = uuid4().hex
    kept = {
        "user": request.user.pk,
        "name": plan.file_name,
        "content": content,
        "mark": plan.mark,
    }
    cache.set(f"import:{token}", kept, KEPT_SECONDS)
    context |= {
        "plan": plan,
        "report": plan.report(most=MOST_SHOWN),
        "token": token,
    }


def _import(request: HttpRequest, context: dict[str, Any]) -> str:
    """Do what was shown; the sentence of success, or nothing and a new report."""
    kept = cache.get(f"import:{request.POST.get('token', '')}")
    if not kept or kept["user"] != request.user.pk:
        messages.error(request, _("That report is gone. Choose the file once more."))
        return ""
    try:
        result = imports.carry_out(
            BytesIO(kept["content"]),
            name=kept["name"],
            mark=kept["mark"],
            actor=actor_of(request),
        )
    except (imports.PlanIsStale, imports.ImportRefused) as refusal:
        messages.warning(
            request,
            _(
                "The shop has changed since the report, so nothing was imported. "
                "This is what the file would do now."
            ),
        )
        _show(request, refusal.plan, kept["content"], context)
        return ""
    cache.delete(f"import:{request.POST['token']}")
    return _("%(created)s new, %(changed)s changed, %(unchanged)s as they were.") % {
        "created": result.created,
        "changed": result.changed,
        "unchanged": result.unchanged,
    }
