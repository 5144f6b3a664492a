"""The security policy, and the second step that staff take to sign in."""

from collections.abc import Callable
from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

FREE_PAGES = {"admin:logout", "admin:jsi18n"}


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

    Everybody else is told what they may see by the pages themselves. Off unless
    SHOP_STAFF_TWO_FACTOR is on.
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
        if "admin" not in match.namespaces or match.view_name in FREE_PAGES:
            return None
        user = request.user
        if not (user.is_authenticated and user.is_staff) or is_mfa_enabled(user):
            return None
        page = reverse("mfa_activate_totp")
        if request.headers.get("HX-Request"):
            return HttpResponse(headers={"HX-Redirect": page})
        messages.info(
            request,
            _(
                "You help to run this shop, so signing in takes two steps. Set up the "
                "second one here; then the dashboard opens."
            ),
        )
        return redirect(page)
