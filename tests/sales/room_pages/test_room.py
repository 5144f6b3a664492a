"""The waiting room on a sale's page, with and without scripts."""

from uuid import uuid4

import pytest
from django.test import Client

from sales import counters, flash, rooms, waiting_room
from tests.factories import make_loaded_item, make_roomy_item, make_sale
from tests.sales.room_pages.calls import (
    HTMX,
    claim,
    full_room,
    join,
    live_url,
    look,
    page,
    room_url,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis"),
]


# -- The page ----------------------------------------------------------------------


def test_looking_at_the_page_joins_nobody(client, queue_redis):
    item = make_roomy_item(units=1)

    for _ in range(2):
        html = page(client, item).text
        look(client, item)

    assert "Join the waiting room" in html
    assert "Buy now" not in html
    assert not queue_redis.keys("room:*")


@pytest.mark.parametrize("wants", ["join", "leave"])
def test_only_a_post_takes_a_place_or_gives_it_up(client, queue_redis, wants):
    item = make_roomy_item(units=1)
    page(client, item)
    if wants == "leave":
        join(client, item)
    before = queue_redis.keys("room:*")

    client.get(room_url(item), {"wants": wants}, headers=HTMX)

    assert sorted(queue_redis.keys("room:*")) == sorted(before)


def test_a_sale_without_a_room_shows_none(client):
    item = make_loaded_item()

    html = page(client, item).text

    assert "waiting-room" not in html
    assert "Buy now" in html


def test_joining_when_there_is_room_leads_in_and_to_an_order(client):
    item = make_roomy_item(units=1)

    assert "It is your turn" in join(client, item).text
    html = page(client, item).text
    assert "It is your turn" in html
    assert "Buy now" in html

    response = claim(client, item)
    assert response["Location"].startswith("/orders/")


def test_who_waits_sees_place_people_ahead_and_no_button(client):
    item = make_roomy_item(units=1)
    full_room(item)
    waiting_room.join(waiting_room.of_sale(item.sale_id), "g:first")

    html = join(client, item).text

    assert 'You are number <b class="number">2</b>' in html
    assert "1 person is ahead of you" in html
    assert "We cannot tell yet" in html
    assert "Buy now" not in page(client, item).text


def test_the_estimate_is_in_minutes(client, queue_redis):
    item = make_roomy_item(units=1)
    full_room(item)
    join(client, item)
    now = int(queue_redis.time()[0]) * 1000
    meta = rooms.keys(item.sale_id)[3]
    queue_redis.hset(
        meta,
        mapping={"filled_at": now - 30_000, "minute": now // 60_000, "this": 1},
    )

    assert "It will take about 1 minute." in look(client, item).text


def test_before_the_start_no_place_is_told(client):
    item = make_roomy_item(opens_in=600)

    html = join(client, item).text

    assert "Places are drawn when the sale opens" in html
    assert "You are number" not in html


def test_leaving_lets_the_next_person_in(client):
    item = make_roomy_item(units=1)
    join(client, item)
    other = Client()
    assert "You are number" in join(other, item).text

    data = {"wants": "leave", "state": "inside"}
    html = client.post(room_url(item), data, headers=HTMX).text

    assert "Join the waiting room" in html
    assert "Your time to buy is over" not in html
    assert "It is your turn" in look(other, item).text


def test_a_pass_that_lapsed_is_said(client, queue_redis):
    item = make_roomy_item(units=1)
    join(client, item)
    queue_redis.delete(*rooms.keys(item.sale_id))

    html = look(client, item, "inside").text

    assert "Your time to buy is over" in html
    assert "Join the waiting room" in html


@pytest.mark.parametrize("state", ["waiting", "early"])
def test_a_place_that_is_gone_is_said(client, state):
    item = make_roomy_item(units=1)

    assert "Your place is gone" in look(client, item, state).text
    assert "Your place is gone" not in look(client, item).text


def test_the_room_closes_when_it_is_sold_out(client):
    item = make_roomy_item(units=1)
    join(client, item)
    other = Client()
    join(other, item)
    order_id = uuid4()
    claim(client, item, order_id=order_id)
    counters.begin_payment(item.pk, epoch=item.epoch, order_id=order_id)
    counters.confirm(item.pk, epoch=item.epoch, order_id=order_id)

    assert "Sold out, so the waiting room is closed" in look(other, item).text
    assert "Sold out, so the waiting room is closed" in page(other, item).text


def test_turned_off_the_room_goes_away_and_stops_asking(client):
    item = make_roomy_item(units=1)
    full_room(item)
    join(client, item)
    type(item.sale).objects.filter(pk=item.sale_id).update(has_waiting_room=False)
    flash.advance()
    waiting_room.forget()

    response = look(client, item, "waiting")

    assert response.status_code == 286
    assert "everybody can buy now" in response.text
    assert "Join" not in response.text
    assert "Buy now" in client.get(live_url(item, "waiting_room")).text


def test_a_room_that_does_not_answer_is_said_and_lets_nobody_in(
    client, settings, tmp_path
):
    item = make_roomy_item()
    join(client, item)
    settings.QUEUE_REDIS_URL = f"unix://{tmp_path}/nobody.sock"

    html = page(client, item).text

    assert "does not answer right now" in html
    assert "Buy now" not in html
    response = claim(client, item, htmx=True)
    assert "Checking your order" in response.text
    assert counters.snapshot(item.pk).held == 0


def test_a_draft_or_unknown_sale_has_no_room(client):
    draft = make_sale(has_waiting_room=True)

    for slug in (draft.slug, "no-such-sale"):
        url = f"/flash/{slug}/waiting-room/"
        assert client.get(url, headers=HTMX).status_code == 404


# -- Without scripts ---------------------------------------------------------------


def test_joining_without_scripts_leads_back_to_the_page(client):
    item = make_roomy_item()

    response = join(client, item, htmx=False)

    assert response["Location"].endswith("#waiting-room")
    assert "It is your turn" in page(client, item).text


def test_the_address_of_the_room_leads_to_the_page(client):
    item = make_roomy_item()

    assert client.get(room_url(item))["Location"].endswith("#waiting-room")
