"""A real HTTP server that speaks the few calls of Stripe the shop makes.

Shapes, states, errors and idempotency are those of Stripe's own description of its API.
The shopper's and Stripe's side are played by `pay`, `lapse` and `event`.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlparse

import stripe

KEY = "sk_test_for_tests"
WEBHOOK_SECRET = "whsec_for_tests"


class Account:
    """What one account at Stripe has, by id; `calls` are the requests it saw."""

    def __init__(self):
        self.url = ""
        self.sessions = {}
        self.intents = {}
        self.refunds = {}
        self.answers = {}
        self.refusal = None  # the status and body with which refunds are answered
        self.calls = []

    def session(self):
        """The only session there is."""
        (session,) = self.sessions.values()
        return session

    def pay(self, *, status="paid", amount=None):
        """The shopper pays the only session; "unpaid" is money that is on its way."""
        session = self.session()
        assert session["status"] == "open"
        intent = f"pi_{session['id']}"
        done = status == "paid"
        self.intents[intent] = {
            "id": intent,
            "object": "payment_intent",
            "status": "succeeded" if done else "processing",
        }
        session |= {"status": "complete", "payment_status": status, "url": None}
        session["payment_intent"] = intent
        if amount is not None:
            session["amount_total"] = amount
        return session

    def lapse(self):
        """Nobody pays in time."""
        session = self.session()
        session |= {"status": "expired", "url": None}
        return session

    def event(self, kind, *, session=None, number=1, at=None, secret=WEBHOOK_SECRET):
        """Body and headers of a notification about the only session, as it is now."""
        body = json.dumps(
            {
                "id": f"evt_{number}",
                "object": "event",
                "api_version": stripe.api_version,
                "type": kind,
                "livemode": False,
                "data": {"object": session or self.session()},
            }
        )
        signature = stripe.WebhookSignature.generate_signature_header(body, secret, at)
        return body.encode(), {"Stripe-Signature": signature}

    def answer(self, method, path, form, key):
        """Status and body; a repeated key gets the first answer again."""
        self.calls.append((method, path, form))
        if not key:
            return self._do(method, path, form)
        if key in self.answers:
            first_form, answer = self.answers[key]
            if first_form == form:
                return answer
            return 400, problem("idempotency_error", "The key was used before.")
        answer = self._do(method, path, form)
        self.answers[key] = (form, answer)
        return answer

    def _do(self, method, path, form):
        match method, path.removeprefix("/v1/").split("/"):
            case "POST", ["checkout", "sessions"]:
                return self._open(form)
            case "GET", ["checkout", "sessions", name]:
                return 200, self._expanded(self.sessions[name], form)
            case "POST", ["checkout", "sessions", name, "expire"]:
                session = self.sessions[name]
                if session["status"] != "open":
                    return 400, problem("invalid_request_error", "Not open.")
                session |= {"status": "expired", "url": None}
                return 200, session
            case "POST", ["refunds"]:
                return self._refund(form)
        return 404, problem("invalid_request_error", f"Unrecognized: {method} {path}")

    def _open(self, form):
        amount = int(form["line_items[0][price_data][unit_amount]"])
        if 0 < amount < 50:
            return 400, problem("invalid_request_error", "amount_too_small")
        name = f"cs_test_{len(self.sessions) + 1}"
        self.sessions[name] = {
            "id": name,
            "object": "checkout.session",
            "mode": form["mode"],
            "status": "open",
            "payment_status": "unpaid",
            "payment_intent": None,
            "amount_total": amount * int(form["line_items[0][quantity]"]),
            "currency": form["line_items[0][price_data][currency]"],
            "client_reference_id": form["client_reference_id"],
            "metadata": {"payment_id": form["metadata[payment_id]"]},
            "customer_email": form.get("customer_email"),
            "expires_at": int(form["expires_at"]),
            "success_url": form["success_url"],
            "cancel_url": form["cancel_url"],
            "url": f"https://checkout.stripe.com/c/pay/{name}",
        }
        return 200, self.sessions[name]

    def _expanded(self, session, form):
        if form.get("expand[0]") == "payment_intent" and session["payment_intent"]:
            return session | {"payment_intent": self.intents[session["payment_intent"]]}
        return session

    def _refund(self, form):
        if self.refusal:
            return self.refusal
        intent = form["payment_intent"]
        if intent in self.refunds:
            return refusal("charge_already_refunded", "Charge has been refunded.")
        self.refunds[intent] = {
            "id": f"re_{intent}",
            "object": "refund",
            "payment_intent": intent,
            "status": "succeeded",
        }
        return 200, self.refunds[intent]


def problem(kind, message):
    return {"error": {"type": kind, "message": message}}


def refusal(code, message):
    """Status and body with which Stripe does not do what it was asked for."""
    body = problem("invalid_request_error", message)
    body["error"] |= {
        "code": code,
        "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
    }
    return 400, body


@contextmanager
def running():
    """An account served on a free port of this machine."""
    account = Account()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._reply(dict(parse_qsl(urlparse(self.path).query)))

        def do_POST(self):
            size = int(self.headers.get("Content-Length") or 0)
            self._reply(dict(parse_qsl(self.rfile.read(size).decode())))

        def _reply(self, form):
            status, said = 401, problem("invalid_request_error", "No such key.")
            if self.headers["Authorization"] == f"Bearer {KEY}":
                path = urlparse(self.path).path
                key = self.headers.get("Idempotency-Key", "")
                # Stripe's library makes a key of its own where we give none.
                mine = "-refund" in key or path == "/v1/checkout/sessions"
                status, said = account.answer(
                    self.command, path, form, key if mine else ""
                )
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    account.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield account
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
