"""/api/v1 of the waiting list."""

from uuid import uuid4

import pytest

from sales import checkout, counters
from sales.models import WaitingEntry
from tests.api import BASE, Api, as_guest, as_staff, as_user, code
from tests.factories import make_loaded_item, make_user
from tests.sales.waiting_list.line import join, make_full_item, tick

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def wait(api, item, **body):
    body = {"sku": item.product.sku, "email": "ann@example.com", **body}
    return api.post(f"/flash-sales/{item.sale_id}/waiting-list", body)


def place(item, order_id):
    return f"/flash-sales/{item.sale_id}/waiting-list/{order_id}"


def test_joining_gives_the_place_and_the_id_of_the_order_to_come(sale_redis):
    item, _ = make_full_item()
    join(item)

    answer = wait(as_guest(), item)

    assert answer.status_code == 201
    body = answer.json()
    assert (body["state"], body["place"], body["quantity"]) == ("waiting", 2, 1)
    assert WaitingEntry.objects.filter(order_id=body["order_id"]).exists()


def test_joining_again_answers_with_the_first_place(sale_redis):
    item, _ = make_full_item()
    api = as_guest()

    first, again = wait(api, item), wait(api, item, quantity=2)

    assert again.status_code == 200
    assert again.json() == first.json()


def test_a_repeat_with_its_key_gets_the_first_answer(sale_redis):
    item, _ = make_full_item()
    api, key = as_guest(), uuid4()
    list_of = f"/flash-sales/{item.sale_id}/waiting-list"
    body = {"sku": item.product.sku, "email": "ann@example.com"}

    first, again = (api.post(list_of, body, key=key) for _ in range(2))
    other = api.post(list_of, body | {"quantity": 2}, key=key)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert again["Idempotency-Replayed"] == "true"
    assert code(other) == (422, "idempotency_mismatch")
    assert WaitingEntry.objects.count() == 1


def test_from_the_line_to_a_paid_order(sale_redis):
    item, (held,) = make_full_item()
    api = as_guest()
    order_id = wait(api, item).json()["order_id"]

    checkout.cancel(held)
    tick()
    offered = api.get(place(item, order_id)).json()
    order = api.get(f"/orders/{order_id}").json()
    paid = api.post(f"/orders/{order_id}/payment").json()
    api.post(f"/payments/test/{paid['payment_id']}", {"outcome": "paid"})
    tick()

    assert (offered["state"], offered["place"]) == ("offered", None)
    assert (order["state"], order["email"]) == ("held", "ann@example.com")
    assert api.get(place(item, order_id)).json()["state"] == "bought"


def test_an_order_that_is_still_to_be_offered_names_the_place_to_ask(sale_redis):
    item, _ = make_full_item()
    api = as_guest()
    order_id = wait(api, item).json()["order_id"]

    for answer in (
        api.get(f"/orders/{order_id}"),
        api.post(f"/orders/{order_id}/payment"),
        api.post(f"/orders/{order_id}/cancel"),
    ):
        assert code(answer) == (404, "not_offered")
        assert answer.json()["state"] == "waiting"
        assert answer.json()["see"] == BASE + place(item, order_id)

    for other in (Api(), as_guest(), as_user()):
        assert code(other.get(f"/orders/{order_id}")) == (404, "not_found")


def test_leaving_is_safe_to_repeat(sale_redis):
    item, _ = make_full_item()
    api = as_guest()
    order_id = wait(api, item).json()["order_id"]

    states = [api.delete(place(item, order_id)).json()["state"] for _ in range(2)]

    assert states == ["left", "left"]
    assert counters.snapshot(item.pk).waiting == 0


def test_an_offer_cannot_be_left(sale_redis):
    item, (held,) = make_full_item()
    api = as_guest()
    order_id = wait(api, item).json()["order_id"]
    checkout.cancel(held)
    tick()

    assert code(api.delete(place(item, order_id))) == (409, "not_possible")


def test_refusals_have_codes_and_numbers(sale_redis):
    item, _ = make_full_item(limit=2)
    opened = make_loaded_item(units=3)
    join(item, email="ann@example.com")
    api = as_guest()

    assert code(wait(api, opened)) == (409, "available")
    assert wait(api, opened).json()["left"] == 3
    assert code(wait(api, item)) == (409, "email_waits")
    assert code(wait(api, item, quantity=3)) == (409, "limit_reached")
    assert wait(api, item, quantity=3).json()["still_allowed"] == 2
    assert code(wait(api, item, sku="NOPE")) == (404, "unknown_sku")
    assert code(wait(api, item, email="nonsense")) == (422, "invalid")
    assert code(wait(api, item, email=None)) == (422, "invalid")
    assert code(wait(Api(), item)) == (401, "unauthorized")
    item.sale_id = 999_999
    assert code(wait(api, item)) == (404, "not_found")


def test_a_lost_redis_is_said(sale_redis):
    item, _ = make_full_item()
    sale_redis.delete(counters.keys(item.pk)[0])

    assert code(wait(as_guest(), item)) == (503, "not_loaded")


def test_an_account_need_not_send_its_address(sale_redis):
    item, _ = make_full_item()
    user = make_user("ann@shop.test")

    answer = wait(as_user(user), item, email=None)

    assert answer.status_code == 201
    entry = WaitingEntry.objects.get()
    assert (entry.user, entry.email) == (user, "ann@shop.test")


def test_a_place_is_seen_by_its_buyer_and_by_staff_alone(sale_redis):
    item, _ = make_full_item()
    order_id = wait(as_guest(), item).json()["order_id"]

    assert code(as_guest().get(place(item, order_id))) == (404, "not_found")
    assert code(as_guest().delete(place(item, order_id))) == (404, "not_found")
    assert code(as_guest().get(place(item, uuid4()))) == (404, "not_found")
    assert as_staff("sales.view_order").get(place(item, order_id)).status_code == 200
