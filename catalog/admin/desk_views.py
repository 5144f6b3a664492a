"""Saved views of the stock desk: keep one, share it, open with it, take it away."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from catalog import saved_views
from catalog.merchant_forms import ViewForm
from catalog.merchant_views import actor_of
from catalog.models import DeskView

DESK = "admin:catalog_stock_changelist"


def address(view: DeskView | None) -> str:
    """The desk as a view shows it; the mark keeps it from opening with the default."""
    base = reverse(DESK)
    if view is None:
        return f"{base}?view=all"
    return (
        f"{base}?{view.query}&view={view.pk}"
        if view.query
        else f"{base}?view={view.pk}"
    )


def tabs(request: HttpRequest, query: str) -> dict[str, Any]:
    """What the desk shows of the views, for whoever asks."""
    views = saved_views.of(actor_of(request))
    shown = saved_views.tidy(query)
    return {
        "views": [(view, address(view), view.query == shown) for view in views],
        "all_url": address(None),
        "is_all": not shown,
        "query": shown,
    }


def _require_change(admin: Any, request: HttpRequest) -> None:
    if not admin.has_change_permission(request):
        raise PermissionDenied


def manage(admin: Any, request: HttpRequest) -> HttpResponse:
    """The views somebody has, each with what can be done to it."""
    _require_change(admin, request)
    form = None
    if request.method == "POST":
        form = ViewForm(request.POST)
        if form.is_valid():
            return _save(request, form)
    user = actor_of(request)
    editable = set(saved_views.editable_by(user).values_list("pk", flat=True))
    context = {
        **admin.admin_site.each_context(request),
        "title": _("Saved views"),
        "opts": admin.opts,
        "form": form,
        "views": [
            (view, address(view), view.pk in editable) for view in saved_views.of(user)
        ],
    }
    status = 422 if form else 200
    return render(request, "merchant/desk_views.html", context, status=status)


def _save(request: HttpRequest, form: ViewForm) -> HttpResponse:
    typed = form.cleaned_data
    user = actor_of(request)
    view = saved_views.save(
        user, typed["name"], typed["query"], is_shared=typed["is_shared"]
    )
    if typed["is_default"]:
        saved_views.open_with(user, view)
    messages.success(request, _("The view “%(name)s” is saved.") % {"name": view.name})
    return redirect(address(view))


def change(admin: Any, request: HttpRequest, view_id: int) -> HttpResponse:
    """One step with one view: what to do is the button that was pressed."""
    _require_change(admin, request)
    if request.method != "POST":
        return redirect("admin:catalog_stock_views")
    user = actor_of(request)
    step = request.POST.get("step", "")
    if step in ("open", "close"):
        view = get_object_or_404(saved_views.visible_to(user), pk=view_id)
        saved_views.open_with(user, view if step == "open" else None)
        messages.success(request, _("The stock desk opens another way now."))
        return redirect("admin:catalog_stock_views")
    view = get_object_or_404(saved_views.editable_by(user), pk=view_id)
    if step == "delete":
        view.delete()
        messages.success(
            request, _("The view “%(name)s” is deleted.") % {"name": view.name}
        )
    elif step == "rename":
        _rename(request, view)
    return redirect("admin:catalog_stock_views")


def _rename(request: HttpRequest, view: DeskView) -> None:
    form = ViewForm(request.POST, taken=saved_views.names_of(view))
    if not form.is_valid():
        for error in form.errors.get("name", []):
            messages.error(request, str(error))
        return
    view.name = form.cleaned_data["name"]
    view.is_shared = form.cleaned_data["is_shared"]
    try:
        view.save(update_fields=["name", "is_shared"])
    except IntegrityError:  # the name was taken between the look and the writing
        messages.error(request, _("Another view has this name. Choose one more."))
        return
    messages.success(request, _("The view “%(name)s” is saved.") % {"name": view.name})
