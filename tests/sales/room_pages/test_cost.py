"""What looking into a waiting room costs and says, and how often it may be joined."""

import pytest
from django.test import Client

from sales import rooms, tokens
from tests.factories import make_roomy_item
from tests.sales.room_pages.calls import claim, full_room, join, live_url, look, page

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis"),
]


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
