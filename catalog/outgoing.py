"""A POST to an address that somebody entered, so that it is no way into our network.

Beside the worker that calls are databases, other machines and the cloud's metadata. So
a name is looked up once, all it leads to must be public, and what was looked at is what
is connected to: a second look-up could lead elsewhere. TLS still proves the name.
Redirects are not followed, and a proxy of the environment is not asked.
"""

import http.client
import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Timer
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

PUBLIC_V6 = IPv6Network("2000::/3")  # all that is given out
NAT64 = IPv6Network("64:ff9b::/96")  # the last four bytes are an IPv4 address
AZURE = IPv4Address("168.63.129.16")  # the host of a machine there, though it is public


class NotPublic(ValueError):
    """The address leads into a private network; the text says what to do."""


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> int:
    """The status of the answer, which must come within `timeout` once connected.

    Raises NotPublic, and OSError, ValueError or HTTPException for what is no answer.
    """
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    make = _PromptTLS if is_tls else _Prompt
    port = parts.port or (443 if is_tls else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = make(parts.hostname or "", port, timeout=timeout)
    try:
        connection.request("POST", path, body, {**headers, "Connection": "close"})
        with connection.getresponse() as answer:
            return answer.status
    finally:
        connection.close()


def check(url: str) -> None:
    """Raise NotPublic for an address that shows by itself where it leads.

    Other names are looked up when they are called: they may change until then.
    """
    host = urlsplit(url).hostname or ""
    if host.split(".")[-1] == "localhost":
        host = "127.0.0.1"
    with suppress(socket.gaierror, UnicodeError):  # it is a name, or none at all
        _addresses(host, flags=socket.AI_NUMERICHOST)


def is_public(address: str) -> bool:
    """Whether an IP address is one machine anywhere on the internet."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        inner = IPv4Address(ip.packed[-4:]) if ip in NAT64 else ip.ipv4_mapped
        if inner is None:
            return ip.is_global and ip in PUBLIC_V6 and ip.sixtofour is None
        ip = inner
    return ip.is_global and not ip.is_multicast and ip != AZURE


def _addresses(host: str, *, flags: int = 0) -> list[str]:
    """The IP addresses of a host; raises NotPublic if any may not be called."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    addresses = [str(address[0]) for *_rest, address in found]
    if not settings.SHOP_WEBHOOK_INTERNAL and not all(map(is_public, addresses)):
        raise NotPublic(
            _(
                "The address leads into a private network. Enter a public one, or have "
                "SHOP_WEBHOOK_INTERNAL switched on where the shop runs."
            )
        )
    return addresses


class _Prompt(http.client.HTTPConnection):
    """A connection to what was looked at, whose answer comes in time or not at all."""

    def connect(self) -> None:
        errors = []
        for address in _addresses(self.host):
            try:
                self.sock = socket.create_connection((address, self.port), self.timeout)
            except OSError as error:
                errors.append(error)
            else:
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return
        raise errors[0]

    def getresponse(self) -> http.client.HTTPResponse:
        # The socket below TLS is shut: TLS is then at its end, in the middle of a word.
        cut = Timer(self.timeout or 0, _shut, [self.sock])
        cut.daemon = True
        cut.start()
        try:
            return super().getresponse()
        finally:
            cut.cancel()


class _PromptTLS(http.client.HTTPSConnection, _Prompt):
    """The same with TLS, which is put upon `_Prompt.connect` for the host's name."""


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
