"""Uploaded pictures, served by the shop itself unless the proxy before it does."""

from csp.constants import NONE, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe
from django.views.static import serve

POLICY = {"default-src": [NONE], "style-src": [UNSAFE_INLINE], "sandbox": True}


@require_safe
@csp_replace(POLICY)  # type: ignore[arg-type]
def media(request: HttpRequest, path: str) -> HttpResponseBase:
    """A file below MEDIA_ROOT; an SVG opened on its own runs nothing."""
    response = serve(request, path, document_root=str(settings.MEDIA_ROOT))
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response
