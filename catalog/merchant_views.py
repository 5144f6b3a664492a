"""Dashboard pages beyond a ModelAdmin: buttons that ask first, numbers explained."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from unfold.enums import ActionVariant

from catalog.merchant_forms import DialogForm

Text = Any  # str or a lazy translation
Step = Callable[[Any, HttpRequest, Any, Any], Text | None]
Page = Callable[[Any, HttpRequest], HttpResponse]


def actor_of(request: HttpRequest) -> User:
    """Who is signed in; the dashboard lets nobody else in."""
    return cast(User, request.user)


def button(
    title: Text,
    *,
    permission: str,
    icon: str,
    sentence: Text = "",
    submit: Text = None,
    form_class: type[DialogForm] = DialogForm,
    variant: ActionVariant = ActionVariant.DEFAULT,
) -> Callable[[Step], Callable[..., HttpResponse]]:
    """Turn `step(admin, request, form, row)` into a button of the row's admin page.

    The button opens a dialog over the page (a page of its own without scripts) and only
    a POST with a valid form runs the step. The step returns the sentence that tells the
    merchant what was done; or None after adding an error to the form, which is shown
    again. `permission` is "change" and the like, as the admin's `has_..._permission`:
    without it there is no button, and the address answers 403.
    """

    def decorate(step: Step) -> Callable[..., HttpResponse]:
        @wraps(step)
        def view(admin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
            if not getattr(admin, f"has_{permission}_permission")(request):
                raise PermissionDenied
            row = _row(admin, request, object_id)
            data = request.POST if request.method == "POST" else None
            form = form_class(data, subject=row)
            if data is not None and form.is_valid():
                done = step(admin, request, form, row)
                if done is not None:
                    messages.success(request, done)
                    return _back(request, _page(admin, row))
            context = {"dialog": view.dialog, "form": form, "form_submit_text": submit}  # type: ignore[attr-defined]
            if request.headers.get("HX-Request"):
                return render(request, "unfold/helpers/dialog.html", context)
            context |= {
                **admin.admin_site.each_context(request),
                "title": title,
                "subject": row,
                "back": _page(admin, row),
            }
            status = 422 if form.errors else 200
            return render(request, "merchant/dialog_page.html", context, status=status)

        _describe(view, title, permission, icon, variant)
        view.dialog = {"title": title, "description": sentence}  # type: ignore[attr-defined]
        return view

    return decorate


def page(
    title: Text, *, permission: str, icon: str, path: str
) -> Callable[[Page], Page]:
    """Turn a view of the admin into a button above its list."""

    def decorate(view: Page) -> Page:
        @wraps(view)
        def guarded(admin: Any, request: HttpRequest) -> HttpResponse:
            if not getattr(admin, f"has_{permission}_permission")(request):
                raise PermissionDenied
            return view(admin, request)

        _describe(guarded, title, permission, icon, ActionVariant.DEFAULT)
        guarded.url_path = path  # type: ignore[attr-defined]
        return guarded

    return decorate


def _describe(
    view: Any, title: Text, permission: str, icon: str, variant: ActionVariant
) -> None:
    """What the theme reads of an action; its own decorator would run it on GET."""
    view.allowed_permissions = [permission]
    view.short_description = title
    view.icon = icon
    view.variant = variant
    view.attrs = {}


def _row(admin: ModelAdmin[Any], request: HttpRequest, object_id: str) -> models.Model:
    row = admin.get_object(request, unquote(object_id))
    if row is None:
        raise Http404(_("This row is gone. Go back to the list."))
    return row  # type: ignore[no-any-return]


def _page(admin: ModelAdmin[Any], row: models.Model) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=[row.pk])


def _back(request: HttpRequest, url: str) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Refresh": "true"})
    return redirect(url)
