"""What visitors are told of a failure: 503 while a server is away, else 500."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views import defaults
from redis import exceptions as redis

RETRY_SECONDS = 5
# PostgreSQL shuts down, has crashed, or is starting; all its connections are taken.
COMES_BACK = {"57P01", "57P02", "57P03", "53300"}


def server_error(request: HttpRequest) -> HttpResponse:
    """The page for an exception that Django has at hand; it needs no server."""
    if not is_server_away(sys.exc_info()[1]):
        return defaults.server_error(request)
    return HttpResponse(
        render_to_string("503.html"),
        status=503,
        headers={"Retry-After": str(RETRY_SECONDS), "Cache-Control": "no-store"},
    )


def is_server_away(error: BaseException | None) -> bool:
    """Whether PostgreSQL or Redis cannot be reached, and not what was asked of it."""
    # An InterfaceError: the connection was closed under our hands.
    if isinstance(error, InterfaceError | redis.ConnectionError | redis.TimeoutError):
        return True
    code = getattr(getattr(error, "__cause__", None), "pgcode", None)
    return isinstance(error, OperationalError) and (code is None or code in COMES_BACK)
