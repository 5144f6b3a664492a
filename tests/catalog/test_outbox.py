"""Webhooks: written with the change, signed, tried again, never lost."""

import hashlib
import hmac
import json
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from django.db import transaction
from django.utils import timezone

from catalog import outbox, stock
from catalog.models import OutboxEvent, WebhookDelivery, WebhookEndpoint
from tests.factories import make_product

pytestmark = pytest.mark.django_db
NOTE = stock.Note(cause="test")


@pytest.fixture
def receiver():
    """A real HTTP server on loopback that keeps what it gets."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.headers, body))
            self.send_response(self.server.answer)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.answer = 200
    server.got = got
    server.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def make_endpoint(url="http://127.0.0.1:9/", **fields):
    return WebhookEndpoint.objects.create(url=url, **fields)


def test_nothing_is_written_without_an_endpoint_that_wants_it():
    make_endpoint(kinds=["order.paid"])
    stock.reserve({make_product(on_hand=1).pk: 1}, note=NOTE)
    assert not OutboxEvent.objects.exists()


def test_an_event_exists_only_if_its_change_does():
    make_endpoint()
    product = make_product(on_hand=1)
    with transaction.atomic():
        stock.reserve({product.pk: 1}, note=NOTE)
        assert OutboxEvent.objects.count() == 1
        transaction.set_rollback(True)
    assert not OutboxEvent.objects.exists()


def test_each_crossing_is_told_once_with_its_kind():
    make_endpoint()
    product = make_product(on_hand=4, low_stock_level=2)
    stock.reserve({product.pk: 2}, note=NOTE)
    stock.reserve({product.pk: 1}, note=NOTE)
    stock.reserve({product.pk: 1}, note=NOTE)
    stock.release({product.pk: 4}, note=NOTE)

    told = list(
        OutboxEvent.objects.order_by("created_at").values_list("kind", flat=True)
    )
    assert told == ["stock.low", "stock.out", "stock.back"]


def test_a_delivery_is_signed_so_that_the_receiver_can_check_it(receiver):
    endpoint = make_endpoint(receiver.url)
    outbox.publish("order.paid", [{"order_id": "x"}])

    assert outbox.deliver_due(timezone.now()) == 1

    ((headers, body),) = receiver.got
    moment, mark = (
        p.partition("=")[2] for p in headers["Holdfast-Signature"].split(",")
    )
    expected = hmac.new(
        endpoint.secret.encode(), f"{moment}.".encode() + body, hashlib.sha256
    ).hexdigest()
    assert mark == expected
    assert json.loads(body)["data"] == {"order_id": "x"}
    assert outbox.deliver_due(timezone.now()) == 0


@pytest.mark.parametrize("answer", [500, 302, 404])
def test_a_failed_delivery_waits_longer_each_time_and_ends_after_a_day(
    receiver, answer
):
    receiver.answer = answer
    make_endpoint(receiver.url)
    outbox.publish("order.paid", [{}])
    now = timezone.now()
    waits = []
    for _ in range(3):
        outbox.deliver_due(now)
        delivery = WebhookDelivery.objects.get()
        waits.append(delivery.next_try_at - timezone.now())
        now = delivery.next_try_at
    assert waits[0] < waits[1] < waits[2]
    assert delivery.answer == str(answer)

    OutboxEvent.objects.update(created_at=timezone.now() - timedelta(hours=25))
    outbox.deliver_due(now)
    assert WebhookDelivery.objects.get().state == "failed"


def test_both_secrets_sign_for_a_day_after_a_change():
    endpoint = make_endpoint()
    outbox.rotate_secret(endpoint)
    now = timezone.now()
    assert outbox.signature(endpoint, b"", now).count("v1=") == 2
    later = now + timedelta(days=2)
    assert outbox.signature(endpoint, b"", later).count("v1=") == 1


def test_an_endpoint_that_is_away_does_not_stop_the_others(receiver):
    make_endpoint("http://127.0.0.1:9/")
    make_endpoint(receiver.url)
    outbox.publish("order.paid", [{}])
    assert outbox.deliver_due(timezone.now()) == 1
