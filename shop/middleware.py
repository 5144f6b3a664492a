"""The security policy, and the second step that staff take to sign in."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.signals import authenticator_added
from allauth.mfa.utils import is_mfa_enabled
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

FREE_PAGES = {"admin:logout", "admin:jsi18n"}
ASKING_PAGES = {"mfa_authenticate", "mfa_reauthenticate"}


class PolicyMiddleware(CSPMiddleware):
    """Adds ADMIN_CONTENT_SECURITY_POLICY on the pages of the dashboard only."""

    def get_policy_parts(
        self,
        request: HttpRequest,
        response: HttpResponseBase,
        report_only: bool = False,
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        match = request.resolver_match
        if match and "admin" in match.namespaces:
            loose: dict[str, Any] = settings.ADMIN_CONTENT_SECURITY_POLICY
            parts.update = {**loose, **(parts.update or {})}
        return parts


class StaffTwoFactorMiddleware:
    """Leads staff without a second factor to set one up before they see the dashboard.

    Who has one but signed in before it was set up is asked for it first, also before
    they change it: who knows the password alone must not. Everybody else is told what
    they may see by the pages themselves. Off unless SHOP_STAFF_TWO_FACTOR is on.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        match = request.resolver_match
        if not settings.SHOP_STAFF_TWO_FACTOR or match is None:
            return None
        is_dashboard = "admin" in match.namespaces and match.view_name not in FREE_PAGES
        is_setup = match.view_name.startswith("mfa_")
        if not is_dashboard and (not is_setup or match.view_name in ASKING_PAGES):
            return None
        user = request.user
        if not isinstance(user, User) or not user.is_staff:
            return None
        if is_mfa_enabled(user):
            return None if _took_second_step(request) else _ask(request)
        return None if is_setup else _lead(request)


def _took_second_step(request: HttpRequest) -> bool:
    """Whether this session, and not only the account, has a second factor."""
    records = get_authentication_records(request, request.user)
    return any(record["method"] == "mfa" for record in records)


@receiver(authenticator_added)
def _note_second_step(request: HttpRequest, user: User, **_more: Any) -> None:
    """Who has just set up the second factor has shown that they have it."""
    record_authentication(request, user, "mfa")


def _ask(request: HttpRequest) -> HttpResponseBase:
    back = request.get_full_path() if request.method == "GET" else request.path
    if request.headers.get("HX-Request"):
        back = reverse("admin:index")
    page = f"{reverse('mfa_reauthenticate')}?{urlencode({'next': back})}"
    return _redirect(request, page)


def _lead(request: HttpRequest) -> HttpResponseBase:
    if not request.headers.get("HX-Request"):
        messages.info(
            request,
            _(
                "You help to run this shop, so signing in takes two steps. Set up the "
                "second one here; then the dashboard opens."
            ),
        )
    return _redirect(request, reverse("mfa_activate_totp"))


def _redirect(request: HttpRequest, page: str) -> HttpResponseBase:
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": page})
    return redirect(page)
