"""No browser gets past a waiting room."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sales import checkout, counters, rooms, sync
from tests.factories import make_roomy_item
from tests.sales.room_pages.calls import (
    HTMX,
    claim,
    join,
    page,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis"),
]


@pytest.mark.parametrize("htmx", [False, True])
def test_a_claim_from_outside_is_sent_to_the_room(client, htmx):
    item = make_roomy_item()
    page(client, item)

    response = claim(client, item, htmx=htmx)

    if htmx:
        assert response.status_code == 409
        assert "To the waiting room" in response.text
    else:
        assert response["Location"].endswith("#waiting-room")
        assert "When it is your turn in the waiting" in page(client, item).text
    assert counters.snapshot(item.pk).held == 0


def test_the_slot_of_a_product_page_leads_to_the_room(client):
    item = make_roomy_item()
    slot = f"/offers/{item.product_id}/"

    outside = client.get(slot, headers=HTMX).text
    join(client, item)

    assert "To the waiting room" in outside
    assert "Buy now" not in outside
    assert "Buy now" in client.get(slot, headers=HTMX).text


def test_a_claim_without_a_cookie_is_sent_to_the_room():
    item = make_roomy_item()

    assert claim(Client(), item)["Location"].endswith("#waiting-room")


def test_the_pass_of_another_browser_is_no_help(client):
    item = make_roomy_item()
    join(client, item)
    assert claim(client, item)["Location"].startswith("/orders/")

    thief = Client()
    thief.cookies["buyer"] = client.cookies["buyer"].value[:-1] + "x"
    assert claim(thief, item)["Location"].endswith("#waiting-room")


def test_holding_an_order_again_leads_to_the_room(client, queue_redis):
    item = make_roomy_item()
    join(client, item)
    order_id = uuid4()
    claim(client, item, order_id=order_id)
    checkout.cancel(order_id)
    sync.drain(item.pk)
    queue_redis.delete(*rooms.keys(item.sale_id))

    response = client.post(f"/orders/{order_id}/again/")

    assert response["Location"].endswith("#waiting-room")
    assert counters.find(item.pk, order_id).state == "cancelled"


def test_who_signs_in_keeps_the_place_and_buys(client):
    item = make_roomy_item(units=1)
    join(client, item)
    client.force_login(User.objects.create_user("ann"))

    assert "It is your turn" in page(client, item).text

    assert claim(client, item)["Location"].startswith("/orders/")
