"""The security policy: strict for the shop, looser where the admin theme needs it."""

from typing import Any

from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase


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
