"""Receives events of a Holdfast shop: checks the signature, skips repeats.

Nothing but Python is needed. Make an endpoint in the dashboard (*Webhooks*) with the
address of this program, and start it with the endpoint's secret:

    WEBHOOK_SECRET=... python examples/webhook_receiver.py 9000
"""

import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

TOLERANCE_SECONDS = 300
seen: set[str] = set()  # a real system keeps these in its database, for a day or two


class BadSignature(Exception):
    """Not from the shop, changed on its way, or sent again by somebody later."""


def read_event(
    body: bytes, signature: str, secret: str, *, now: float | None = None
) -> dict[str, Any]:
    """The event in a request's body, as it came. Raises BadSignature."""
    parts = [part.partition("=") for part in signature.split(",")]
    moment = next((value for name, _, value in parts if name == "t"), "")
    signed = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256)
    # One mark per secret: for a day after a change there are two.
    marks = [value for name, _, value in parts if name == "v1"]
    right = signed.hexdigest().encode()
    if not any(hmac.compare_digest(right, mark.encode()) for mark in marks):
        raise BadSignature("the signature does not fit")
    if abs((time.time() if now is None else now) - int(moment)) > TOLERANCE_SECONDS:
        raise BadSignature("the signature is too old")
    event: dict[str, Any] = json.loads(body)
    return event


class Receiver(BaseHTTPRequestHandler):
    """Answers 200 to what it has understood; anything else is sent again."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signature = self.headers.get("Holdfast-Signature", "")
        try:
            event = read_event(body, signature, os.environ["WEBHOOK_SECRET"])
        except BadSignature as error:
            self.send_error(400, str(error))
            return
        if event["id"] not in seen:
            seen.add(event["id"])
            print(event["type"], event["data"], flush=True)  # noqa: T201
        self.send_response(200)
        self.end_headers()


if __name__ == "__main__":
    HTTPServer(("", int(sys.argv[1])), Receiver).serve_forever()
