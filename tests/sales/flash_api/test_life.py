"""A flash sale by the API, from its making to its end, and who may do that."""

from uuid import uuid4

import pytest

from sales import flash, sync
from sales.models import FlashSale, Order, OrderState
from tests.api import Api, as_guest, as_staff, as_user, code
from tests.factories import (
    make_item,
    make_loaded_item,
    make_product,
    make_sale,
)
from tests.sales.flash_api.calls import claim, sale_body

pytestmark = [
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sale_redis"),
]


@pytest.fixture
def desk():
    return as_staff(
        "sales.add_flashsale", "sales.change_flashsale", "sales.view_flashsale"
    )


def test_a_sale_goes_from_its_making_to_its_end(desk):
    product = make_product(on_hand=10, safety_threshold=3)

    made = desk.post("/flash-sales", sale_body(product))
    assert made.status_code == 201
    assert made.json()["state"] == "scheduled"
    assert made.json()["items"][0]["price"] == "4.50"
    path = f"/flash-sales/{made.json()['id']}"
    loaded = desk.post(f"{path}/preload").json()
    assert loaded["state"] == "loaded"
    assert (loaded["items"][0]["units"], loaded["items"][0]["left"]) == (10, 7)
    assert desk.post(f"{path}/preload").json()["items"] == loaded["items"]
    sold = as_guest().post(
        f"{path}/claims", {"sku": product.sku, "quantity": 2}, key=uuid4()
    )
    assert sold.json()["left"] == 5
    paused = desk.post(f"{path}/pause").json()
    assert (paused["state"], paused["items"][0]["state"]) == ("paused", "paused")
    assert desk.post(f"{path}/resume").json()["items"][0]["state"] == "open"
    ended = desk.post(f"{path}/end").json()
    assert (ended["state"], ended["items"][0]["state"]) == ("ended", "ended")


def test_preload_opens_a_fence_that_was_closed(desk, sale_redis):
    sale_redis.script_flush()
    item = make_item()

    assert desk.post(f"/flash-sales/{item.sale_id}/preload").status_code == 200

    assert claim(item).status_code == 201


def test_preload_tells_which_items_could_not_be_loaded(desk):
    sale = make_sale(state=FlashSale.State.SCHEDULED)
    good, bad = make_item(sale=sale, units=3), make_item(sale=sale, units=11)

    shown = desk.post(f"/flash-sales/{sale.pk}/preload").json()

    errors = {one["sku"]: one["error"] for one in shown["items"]}
    assert errors[good.product.sku] is None
    assert "10 available" in errors[bad.product.sku]


def test_preload_of_nothing_is_a_failure(desk):
    item = make_item(units=11)

    failed = desk.post(f"/flash-sales/{item.sale_id}/preload")

    assert code(failed) == (409, "preload_failed")
    assert failed.json()["items"][0]["sku"] == item.product.sku


def test_steps_that_make_no_sense_are_refused_with_a_sentence(desk):
    sale = make_sale()
    for step in ("preload", "pause", "resume", "end"):
        refused = desk.post(f"/flash-sales/{sale.pk}/{step}")
        assert code(refused) == (409, "not_possible")
    assert FlashSale.objects.get().state == FlashSale.State.DRAFT


def test_a_product_is_in_one_sale_at_a_time(desk):
    product = make_product()
    assert desk.post("/flash-sales", sale_body(product)).status_code == 201

    again = desk.post("/flash-sales", sale_body(product))

    assert code(again) == (409, "not_possible")
    assert product.sku in again.json()["detail"]
    assert FlashSale.objects.count() == 1


def test_a_repeat_of_the_making_gets_the_first_answer(desk):
    body, key = sale_body(make_product()), uuid4()

    first = desk.post("/flash-sales", body, key=key)
    again = desk.post("/flash-sales", body, key=key)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert FlashSale.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"items": []}, (422, "invalid")),
        ({"opens_at": "tomorrow"}, (422, "invalid")),
        ({"opens_at": "2030-01-01T00:00:00"}, (422, "invalid")),
        ({"closes_at": "2000-01-01T00:00:00Z"}, (422, "invalid")),
        ({"name": ""}, (422, "invalid")),
    ],
)
def test_a_sale_that_cannot_be_is_refused(desk, wrong, expected):
    body = sale_body(make_product()) | wrong

    assert code(desk.post("/flash-sales", body)) == expected
    assert not FlashSale.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [{"units": 0}, {"units": "some"}, {"price": "-1"}, {"limit_per_buyer": 0}],
)
def test_an_item_that_cannot_be_is_refused(desk, wrong):
    assert code(desk.post("/flash-sales", sale_body(make_product(), **wrong))) == (
        422,
        "invalid",
    )


def test_a_sale_of_an_unknown_product_or_of_the_past_is_refused(desk):
    product = make_product()
    body = sale_body(product)
    body["items"][0]["sku"] = "NONE"
    assert code(desk.post("/flash-sales", body)) == (404, "unknown_sku")
    past = sale_body(product, opens_in=-60, closes_in=-1)
    assert code(desk.post("/flash-sales", past)) == (409, "not_possible")
    assert not FlashSale.objects.exists()


def test_the_audit_shows_each_invariant_with_its_numbers(desk):
    item, key = make_loaded_item(units=5), uuid4()
    claim(item, 2, key=key)

    clean = desk.get(f"/flash-sales/{item.sale_id}/audit").json()
    Order.objects.filter(pk=key).delete()
    sync.drain(item.pk)
    Order.objects.filter(pk=key).update(state=OrderState.PAID)
    broken = desk.get(f"/flash-sales/{item.sale_id}/audit").json()

    assert clean["verdict"] == "holds"
    assert {1, 2, 3, 4, 5, 6, 10} <= {one["invariant"] for one in clean["findings"]}
    assert broken["verdict"] == "drift"
    assert any(one["holds"] is False for one in broken["findings"])


# -- Who may -----------------------------------------------------------------------

STAFF_CALLS = [
    ("GET", "/audit", "sales.view_flashsale"),
    ("POST", "/preload", "sales.change_flashsale"),
    ("POST", "/pause", "sales.change_flashsale"),
    ("POST", "/resume", "sales.change_flashsale"),
    ("POST", "/end", "sales.change_flashsale"),
    ("POST", "/waiting-room/open", "sales.change_flashsale"),
    ("POST", "/waiting-room/close", "sales.change_flashsale"),
    ("POST", "", "sales.add_flashsale"),
]


@pytest.mark.parametrize(("method", "step", "permission"), STAFF_CALLS)
def test_a_staff_call_needs_exactly_its_permission(method, step, permission):
    item = make_loaded_item()
    if step == "/resume":
        flash.pause(item.sale_id)
    path = f"/flash-sales/{item.sale_id}{step}" if step else "/flash-sales"
    body = None if step else sale_body(make_product())
    others = {call[2] for call in STAFF_CALLS} - {permission}

    assert code(Api().call(method, path, body)) == (401, "unauthorized")
    assert code(as_guest().call(method, path, body)) == (403, "forbidden")
    assert code(as_user().call(method, path, body)) == (403, "forbidden")
    assert code(as_staff(*others).call(method, path, body)) == (403, "forbidden")
    assert as_staff(permission).call(method, path, body).status_code in (200, 201)


@pytest.mark.parametrize(
    ("method", "step"), [("GET", ""), *(call[:2] for call in STAFF_CALLS[:-1])]
)
def test_a_sale_that_is_not_there_is_not_found(desk, method, step):
    assert code(desk.call(method, f"/flash-sales/999{step}")) == (404, "not_found")
