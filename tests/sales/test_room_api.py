"""/api/v1 for the waiting room: join, look in, claim, leave."""

from uuid import uuid4

import pytest

from sales import flash, rooms
from tests.api import as_guest, as_staff, as_user, code
from tests.factories import (
    make_loaded_item,
    make_product,
    make_roomy_item,
    make_sale,
)
from tests.sales.flash_api.calls import sale_body

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis"),
]


def path(item):
    return f"/flash-sales/{item.sale_id}/waiting-room"


def claim(api, item, key=None):
    body = {"sku": item.product.sku, "quantity": 1}
    return api.post(f"/flash-sales/{item.sale_id}/claims", body, key=key or uuid4())


@pytest.mark.parametrize("who", [as_guest, as_user])
def test_a_claim_waits_for_the_room(who):
    item, api = make_roomy_item(), who()

    refused = claim(api, item)
    joined = api.post(path(item)).json()

    assert code(refused) == (409, "waiting_room")
    assert joined["inside"] is True
    assert joined["pass_ends_at"] > joined["now"]
    assert claim(api, item).status_code == 201


def test_who_waits_is_told_the_place_and_cannot_claim():
    item, api = make_roomy_item(units=1), as_guest()
    as_guest().post(path(item))
    as_guest().post(path(item))

    joined, seen = api.post(path(item)).json(), api.get(path(item)).json()

    for told in (joined, seen):
        assert told["state"] == "waiting"
        assert told["inside"] is False
        assert (told["place"], told["ahead"]) == (2, 1)
        assert told["estimated_seconds"] is None
        assert told["pass_ends_at"] is None
    assert code(claim(api, item)) == (409, "waiting_room")


def test_looking_in_does_not_join():
    item = make_roomy_item()

    assert as_guest().get(path(item)).json()["state"] == "outside"


def test_the_pass_of_another_token_is_no_help():
    item, api = make_roomy_item(), as_guest()
    api.post(path(item))

    assert code(claim(as_guest(), item)) == (409, "waiting_room")


def test_a_repeated_claim_is_answered_without_a_pass(queue_redis):
    item, api, key = make_roomy_item(), as_guest(), uuid4()
    api.post(path(item))
    first = claim(api, item, key)
    queue_redis.delete(*rooms.keys(item.sale_id))

    again = claim(api, item, key)

    assert (again.status_code, again.json()) == (200, first.json())


def test_leaving_gives_the_place_away_and_can_be_repeated():
    item, api, other = make_roomy_item(units=1), as_guest(), as_guest()
    api.post(path(item))
    other.post(path(item))

    for _ in range(2):
        assert api.delete(path(item)).json()["state"] == "outside"

    assert other.get(path(item)).json()["inside"] is True


def test_before_the_start_places_are_not_drawn_yet():
    item = make_roomy_item(opens_in=600)

    told = as_guest().post(path(item)).json()

    assert (told["state"], told["place"], told["inside"]) == ("early", None, False)


def test_a_sale_without_a_room_lets_everybody_claim():
    item = make_loaded_item()

    told = as_guest().post(path(item)).json()

    assert (told["state"], told["inside"]) == ("none", True)


@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_a_token_is_needed_and_a_sale(method):
    item = make_roomy_item()
    nobody = as_guest()
    nobody.token = ""

    assert getattr(nobody, method)(path(item)).status_code == 401
    draft = make_sale(has_waiting_room=True)
    for sale_id in (draft.pk, 0):
        response = getattr(as_guest(), method)(f"/flash-sales/{sale_id}/waiting-room")
        assert response.status_code == 404


def test_a_room_that_does_not_answer_is_503(settings, tmp_path):
    item, api = make_roomy_item(), as_guest()
    api.post(path(item))
    settings.QUEUE_REDIS_URL = f"unix://{tmp_path}/nobody.sock"

    for response in (api.get(path(item)), claim(api, item)):
        assert code(response) == (503, "not_loaded")


def test_a_token_may_join_only_so_often(settings, one_minute):
    limits = {**settings.SHOP_API_LIMITS, "room": {"token": 2, "address": 100}}
    settings.SHOP_API_LIMITS = limits
    item, api = make_roomy_item(), as_guest()

    answers = [api.post(path(item)).status_code for _ in range(3)]

    assert answers == [200, 200, 429]
    assert api.get(path(item)).status_code == 200


def test_staff_may_make_a_sale_with_a_room_and_everybody_sees_it():
    desk = as_staff("sales.add_flashsale", "sales.view_flashsale")
    body = {**sale_body(make_product()), "has_waiting_room": True}

    made = desk.post("/flash-sales", body)

    assert made.status_code == 201
    shown = as_guest().get(f"/flash-sales/{made.json()['id']}").json()
    assert shown["has_waiting_room"] is True
    plain = desk.post("/flash-sales", sale_body(make_product()))
    assert plain.json()["has_waiting_room"] is False


def test_a_shopper_cannot_make_one():
    body = {**sale_body(make_product()), "has_waiting_room": True}

    assert as_user().post("/flash-sales", body).status_code == 403


def test_staff_opens_and_closes_the_room_of_a_running_sale():
    item, staff = make_loaded_item(), as_staff("sales.change_flashsale")

    opened = [staff.post(f"{path(item)}/open") for _ in range(2)]
    kept_out = claim(as_guest(), item)
    closed = [staff.post(f"{path(item)}/close") for _ in range(2)]

    assert [one.json()["has_waiting_room"] for one in opened] == [True, True]
    assert [one.json()["has_waiting_room"] for one in closed] == [False, False]
    assert code(kept_out) == (409, "waiting_room")
    notes = item.sale.transitions.filter(note__startswith="waiting room")
    assert sorted(line.note for line in notes) == [
        "waiting room off",
        "waiting room on",
    ]
    assert all(line.actor for line in notes)


def test_a_sale_that_is_over_gets_no_room():
    item, staff = make_loaded_item(), as_staff("sales.change_flashsale")
    flash.end(item.sale_id)

    assert code(staff.post(f"{path(item)}/open")) == (409, "not_possible")
