"""The page that describes the API; its scripts and styles come with the shop."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from shop.api import api


@csrf_exempt  # so that another method is told of, not of a token of forms
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Every operation, to read and to try out."""
    return api.docs.render_page(request, api)
