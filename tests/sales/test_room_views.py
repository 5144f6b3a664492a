"""The waiting room on a sale's page, with and without scripts."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from sales import checkout, counters, flash, rooms, sync, tokens, waiting_room
from tests.factories import make_loaded_item, make_roomy_item, make_sale

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis", "room_server"),
]

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _no_tags():
    cache.clear()


def room_url(item):
    return f"/flash/{item.sale.slug}/waiting-room/"


def join(client, item, *, htmx=True, **fields):
    data = {"wants": "join", **fields}
    return client.post(room_url(item), data, headers=HTMX if htmx else {})


def look(client, item, state=""):
    return client.get(room_url(item), {"state": state}, headers=HTMX)


def page(client, item):
    return client.get(item.sale.get_absolute_url())


def claim(client, item, *, order_id=None, quantity=1, htmx=False, **fields):
    fields |= {"order_id": order_id or uuid4(), "quantity": quantity}
    fields["opens"] = sync.milliseconds(item.opens_at)
    fields["closes"] = sync.milliseconds(item.closes_at)
    url = f"/flash/{item.sale.slug}/{item.pk}/claim/"
    return client.post(url, fields, headers=HTMX if htmx else {})


def live_url(item, state):
    opens, closes = (sync.milliseconds(at) for at in (item.opens_at, item.closes_at))
    path = f"/flash/{item.sale.slug}/{item.pk}/live/"
    return f"{path}?state={state}&opens={opens}&closes={closes}"


def full_room(item):
    """Somebody else is inside, with as many as there are units."""
    known = waiting_room.of_sale(item.sale_id)
    for number in range(item.units):
        assert waiting_room.join(known, f"g:other-{number}").state == "inside"


# -- The page ----------------------------------------------------------------------


def test_looking_at_the_page_joins_nobody(client, room_server):
    item = make_roomy_item(units=1)

    for _ in range(2):
        html = page(client, item).text
        look(client, item)

    assert "Join the waiting room" in html
    assert "Buy now" not in html
    assert not room_server.keys("room:*")


@pytest.mark.parametrize("wants", ["join", "leave"])
def test_only_a_post_takes_a_place_or_gives_it_up(client, room_server, wants):
    item = make_roomy_item(units=1)
    page(client, item)
    if wants == "leave":
        join(client, item)
    before = room_server.keys("room:*")

    client.get(room_url(item), {"wants": wants}, headers=HTMX)

    assert sorted(room_server.keys("room:*")) == sorted(before)


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


def test_the_estimate_is_in_minutes(client, room_server):
    item = make_roomy_item(units=1)
    full_room(item)
    join(client, item)
    now = int(room_server.time()[0]) * 1000
    meta = rooms.keys(item.sale_id)[3]
    room_server.hset(
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


def test_a_pass_that_lapsed_is_said(client, room_server):
    item = make_roomy_item(units=1)
    join(client, item)
    room_server.delete(*rooms.keys(item.sale_id))

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


# -- What the fragment costs and says ----------------------------------------------


def test_looking_in_needs_no_query(client, django_assert_num_queries):
    item = make_roomy_item(units=1)
    full_room(item)
    join(client, item)

    with django_assert_num_queries(0):
        assert look(client, item).status_code == 200
        join(client, item)


def test_the_live_part_of_an_item_needs_no_query(client, django_assert_num_queries):
    item = make_roomy_item()
    join(client, item)
    claim(client, item)

    with django_assert_num_queries(0):
        inside = client.get(live_url(item, "open"))
        outside = Client().get(live_url(item, "open"))

    assert "Buy now" not in outside.text
    assert "To the waiting room" in outside.text
    assert inside.status_code == 200


def test_only_a_change_is_announced_and_told_to_the_items(client):
    item = make_roomy_item(units=1)
    full_room(item)
    join(client, item)

    same, changed = look(client, item, "waiting"), look(client, item, "early")

    assert "announce" not in same.text
    assert "HX-Trigger-After-Settle" not in same
    assert "room-changed" in changed["HX-Trigger-After-Settle"]
    assert 'id="announce"' in changed.text


def test_the_page_of_a_sale_with_a_room_takes_few_queries(
    client, django_assert_max_num_queries
):
    item = make_roomy_item()
    join(client, item)

    with django_assert_max_num_queries(5):
        page(client, item)


# -- No way past -------------------------------------------------------------------


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


def test_holding_an_order_again_leads_to_the_room(client, room_server):
    item = make_roomy_item()
    join(client, item)
    order_id = uuid4()
    claim(client, item, order_id=order_id)
    checkout.cancel(order_id)
    sync.drain(item.pk)
    room_server.delete(*rooms.keys(item.sale_id))

    response = client.post(f"/orders/{order_id}/again/")

    assert response["Location"].endswith("#waiting-room")
    assert counters.find(item.pk, order_id).state == "cancelled"


def test_who_signs_in_keeps_the_place_and_buys(client):
    item = make_roomy_item(units=1)
    join(client, item)
    client.force_login(User.objects.create_user("ann"))

    assert "It is your turn" in page(client, item).text

    assert claim(client, item)["Location"].startswith("/orders/")


# -- Limits ------------------------------------------------------------------------


def test_joining_is_limited_per_address_together_with_the_api(
    client, settings, one_minute
):
    item = make_roomy_item()
    settings.SHOP_API_LIMITS = {
        **settings.SHOP_API_LIMITS,
        "room": {"token": 9, "address": 2},
    }
    join(client, item)
    token = tokens.new_guest()[0]
    Client().post(
        f"/api/v1/flash-sales/{item.sale_id}/waiting-room",
        headers={"Authorization": f"Bearer {token}"},
    )

    with_scripts, without = join(Client(), item), join(Client(), item, htmx=False)

    for response in (with_scripts, without):
        assert response.status_code == 429
        assert "Many people join from your network" in response.text
    assert rooms.crowd(item.sale_id).inside == 2


def test_looking_in_is_not_limited(client, settings):
    item = make_roomy_item()
    limits = {**settings.SHOP_API_LIMITS, "room": {"token": 1, "address": 1}}
    settings.SHOP_API_LIMITS = limits
    join(client, item)

    assert look(client, item).status_code == 200
