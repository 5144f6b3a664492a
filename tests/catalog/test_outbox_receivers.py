"""Receivers that are slow, broken or hostile harm themselves alone."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from catalog import outbox
from catalog.models import WebhookDelivery, WebhookEndpoint

pytestmark = pytest.mark.django_db


def well(handler):
    handler.send_response(200)
    handler.end_headers()


def never(handler):
    handler.server.released.wait(60)


def garbage(handler):
    handler.wfile.write(b"SSH-2.0-not-a-web-server\r\n\r\n")


def drip(handler):
    """A good answer that comes byte by byte, each of them in time."""
    handler.wfile.write(b"HTTP/1.1")
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.server.released.wait(0.05)
    handler.wfile.write(b"200 OK\r\n\r\n")


def deliver():
    return outbox.deliver_due(timezone.now())


def publish(number):
    outbox.publish("order.paid", [{"number": n} for n in range(number)])


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(outbox, "TIMEOUT_SECONDS", 0.5)


def test_a_receiver_that_never_answers_costs_a_run_one_call(receivers, monkeypatch):
    monkeypatch.setattr(outbox, "TIMEOUT_SECONDS", 3)  # time enough for the good one
    silent, good = receivers(never), receivers(well)
    publish(5)

    assert deliver() == 5
    assert deliver() == 0

    assert len(good.calls) == 5
    assert len(silent.calls) == 1
    waiting = silent.endpoint.deliveries.all()
    assert {one.state for one in waiting} == {"pending"}
    assert sorted(one.attempts for one in waiting) == [0, 0, 0, 0, 1]
    assert len({one.next_try_at for one in waiting}) == 1


def test_a_receiver_that_is_slow_is_called_once_in_a_run(receivers, monkeypatch):
    monkeypatch.setattr(outbox, "SLOW_SECONDS", -1)
    slow, other = receivers(well), receivers(well)
    publish(2)

    assert [deliver() for _ in range(3)] == [2, 2, 0]

    assert len(slow.calls) == len(other.calls) == 2


@pytest.mark.parametrize("answer", [drip, garbage, never])
def test_what_is_no_answer_is_said_and_tried_again(receivers, impatient, answer):
    receiver = receivers(answer)
    publish(1)

    assert deliver() == 0

    delivery = receiver.endpoint.deliveries.get()
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert delivery.answer
    assert delivery.next_try_at > timezone.now()
    assert not outbox.send_test(receiver.endpoint).startswith("2")


def test_a_run_ends_in_time_whatever_is_due(receivers):
    receiver = receivers(well)
    publish(3)

    assert outbox.deliver_due(timezone.now(), seconds=0) == 0

    assert not receiver.calls
    assert deliver() == 3


def test_an_endpoint_that_is_off_is_not_called_until_it_is_on_again(receivers):
    receiver = receivers(well)
    publish(1)
    WebhookEndpoint.objects.update(is_active=False)

    assert deliver() == 0
    WebhookEndpoint.objects.update(is_active=True)
    assert deliver() == 1

    assert len(receiver.calls) == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_each_event_once(receivers):
    receiver = receivers(well)
    publish(30)

    def work(_number):
        try:
            return deliver()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=3) as pool:
        assert sum(pool.map(work, range(3))) == 30

    assert len(receiver.calls) == len(set(receiver.calls)) == 30
    assert not WebhookDelivery.objects.exclude(state="delivered").exists()


def test_a_second_click_leaves_both_secrets_that_the_first_one_promised():
    endpoint = WebhookEndpoint.objects.create(url="http://127.0.0.1:9/")
    first = endpoint.secret

    outbox.rotate_secret(endpoint)
    second = endpoint.secret
    outbox.rotate_secret(WebhookEndpoint.objects.get())

    endpoint.refresh_from_db()
    assert (endpoint.old_secret, endpoint.secret) == (first, second)
    assert first != second
