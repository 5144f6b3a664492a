"""The page that describes the API; its scripts and styles come with the shop."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from shop.api import api


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Every operation, to read and to try out."""
    return api.docs.render_page(request, api)
