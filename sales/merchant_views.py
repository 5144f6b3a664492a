"""Dashboard pages about sales and orders."""

from typing import Any

from django.http import HttpRequest


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the dashboard's first page shows."""
    return context
