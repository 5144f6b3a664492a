"""The request type of our views: what middleware adds, as the checker knows it."""

from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails
from ninja.throttling import BaseThrottle


class HtmxRequest(HttpRequest):
    htmx: HtmxDetails
    user: User | AnonymousUser


def address_of(request: HttpRequest) -> str:
    """The network address of whoever asks, behind as many proxies as are ours."""
    return BaseThrottle().get_ident(request) or "unknown"
