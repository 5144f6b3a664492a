"""The waiting room on the merchant's flash-sale desk: planned, switched, watched."""

import re
from datetime import timedelta

import pytest
from django.test import TestCase
from django.urls import reverse
from django.utils import timezone

from sales import flash, rooms, waiting_room
from sales.models import FlashSale
from tests.factories import make_loaded_item, make_roomy_item, make_sale, make_staff

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis"),
]


def sale_page(sale, action="change"):
    return reverse(f"admin:sales_flashsale_{action}", args=[sale.pk])


def press(client, sale, action, **data):
    with TestCase.captureOnCommitCallbacks(execute=True):
        return client.post(sale_page(sale, action), data)


def form_data(sale, **fields):
    data = {
        "name": sale.name,
        "slug": sale.slug,
        "items-TOTAL_FORMS": 0,
        "items-INITIAL_FORMS": 0,
        **fields,
    }
    for name in ("opens_at", "closes_at"):
        at = getattr(sale, name)
        data[f"{name}_0"], data[f"{name}_1"] = f"{at:%Y-%m-%d}", f"{at:%H:%M:%S}"
    return data


@pytest.fixture
def manager(client):
    client.force_login(make_staff("sale manager"))
    return client


def test_a_planned_sale_gets_its_room_by_the_form(manager):
    sale = make_sale(opens_in=3600, closes_in=7200)

    manager.post(sale_page(sale), form_data(sale, has_waiting_room="on"))

    sale.refresh_from_db()
    assert sale.has_waiting_room
    assert 'name="has_waiting_room"' in manager.get(sale_page(sale)).text


@pytest.mark.parametrize("has_room", [True, False])
def test_a_clone_has_a_room_if_that_is_ticked(manager, has_room):
    item = make_roomy_item(opens_in=600)
    opens_at = timezone.now() + timedelta(days=9)
    ticked = {"has_waiting_room": "on"} if has_room else {}

    press(
        manager,
        item.sale,
        "clone",
        name="Again",
        opens_at=f"{opens_at:%Y-%m-%dT%H:%M}",
        **ticked,
    )

    assert FlashSale.objects.get(name="Again").has_waiting_room is has_room


def test_the_room_is_opened_and_closed_while_the_sale_runs(manager):
    item = make_loaded_item()

    press(manager, item.sale, "open_room")
    assert flash.live([item.pk])[item.pk].has_room

    press(manager, item.sale, "close_room")
    assert not flash.live([item.pk])[item.pk].has_room


def test_only_the_switch_that_changes_something_is_offered(manager):
    plain, roomy = make_loaded_item(), make_roomy_item()

    for item, there, away in [
        (plain, "Open a waiting room", "Close the waiting room"),
        (roomy, "Close the waiting room", "Open a waiting room"),
    ]:
        html = manager.get(sale_page(item.sale)).text
        assert there in html
        assert away not in html


def test_the_live_panel_counts_who_waits(manager):
    item = make_roomy_item(units=2)
    known = waiting_room.of_sale(item.sale_id)
    for number in range(5):
        waiting_room.join(known, f"g:{number}")

    html = manager.get(sale_page(item.sale, "live")).text

    for name, number in [("waiting", 3), ("called", 0), ("inside", 2)]:
        assert re.search(rf'data-figure="{name}">\s*{number}\s*<', html), name


def test_the_live_panel_says_when_the_room_does_not_answer(manager, settings, tmp_path):
    item = make_roomy_item()
    settings.QUEUE_REDIS_URL = f"unix://{tmp_path}/nobody.sock"

    assert waiting_room.crowd(item.sale_id) is None
    with pytest.raises(rooms.RoomAway):
        rooms.crowd(item.sale_id)


@pytest.mark.parametrize("action", ["open_room", "close_room"])
def test_who_may_not_change_sales_may_not_turn_the_switch(client, action):
    item = make_loaded_item()
    client.force_login(make_staff("viewer"))

    assert press(client, item.sale, action).status_code in (302, 403)

    item.sale.refresh_from_db()
    assert not item.sale.has_waiting_room
    assert flash.live([item.pk])[item.pk].state == "open"
