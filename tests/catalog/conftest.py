from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from catalog import outbox
from catalog.models import WebhookEndpoint


class Receiver(ThreadingHTTPServer):
    """A server on loopback whose answers are what a test wants; it keeps its calls."""

    daemon_threads = True

    def __init__(self, answer, tls=None):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.answer, self.calls, self.released = answer, [], Event()
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.endpoint = WebhookEndpoint.objects.create(
            url=f"http://127.0.0.1:{self.server_port}/"
        )

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.calls.append(body)
            with suppress(OSError):
                self.server.answer(self)

        def log_message(self, *args):
            pass


@pytest.fixture
def receivers(monkeypatch):
    """Starts a receiver with the given way to answer; none is slow by chance."""
    monkeypatch.setattr(outbox, "SLOW_SECONDS", 60)
    running = []

    def start(answer, **kwargs):
        receiver = Receiver(answer, **kwargs)
        thread = Thread(target=receiver.serve_forever)
        thread.start()
        running.append((receiver, thread))
        return receiver

    yield start
    for receiver, thread in running:
        receiver.released.set()
        receiver.shutdown()
        thread.join()
        receiver.server_close()
