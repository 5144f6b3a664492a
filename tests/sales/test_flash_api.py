"""/api/v1 for flash sales and claims: every answer a client has to understand."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_rq import get_queue

from catalog.models import Stock
from sales import checkout, counters, flash, sync, tags
from sales.models import FlashSale, FlashSaleItem, Order, OrderState
from tests.api import Api, as_guest, as_staff, as_user, code
from tests.factories import (
    make_item,
    make_loaded_item,
    make_product,
    make_sale,
    make_user,
)

pytestmark = [
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sale_redis"),
]


def claim(item, quantity=1, *, api=None, key=None, **fields):
    return (api or as_guest()).post(
        f"/flash-sales/{item.sale_id}/claims",
        {"sku": item.product.sku, "quantity": quantity, **fields},
        key=key or uuid4(),
    )


# -- Claims ------------------------------------------------------------------------


def test_a_claim_is_held_for_its_buyer():
    item, key, guest = make_loaded_item(units=5), uuid4(), as_guest()

    answer = claim(item, 2, api=guest, key=key)

    assert answer.status_code == 201
    shown = answer.json()
    assert shown.pop("expires_at").endswith("Z")
    assert shown == {"order_id": str(key), "state": "held", "left": 3}
    order = guest.get(f"/orders/{key}").json()
    assert (order["state"], order["total"]) == ("held", "10.00")
    assert order["flash_sale_id"] == item.sale_id


def test_a_replay_gets_the_first_body_also_when_it_is_paid_and_the_sale_over():
    item, key, guest = make_loaded_item(units=5), uuid4(), as_guest()
    first = claim(item, 2, api=guest, key=key)
    claim(item)
    checkout.finish(checkout.begin_payment(key).pk, "paid")
    flash.end(item.sale_id)

    again = claim(item, 2, api=guest, key=key)

    assert (again.status_code, again.json()) == (200, first.json())


def test_sold_out_says_what_is_left_and_leaves_it():
    product = make_product(on_hand=3, safety_threshold=1)
    item = make_loaded_item(product=product)
    for _ in range(2):
        key = uuid4()
        assert claim(item, key=key).status_code == 201
        checkout.finish(checkout.begin_payment(key).pk, "paid")

    refused = claim(item)

    assert code(refused) == (409, "sold_out")
    assert refused.json()["left"] == 0
    assert counters.snapshot(item.pk).left == 1


def test_too_many_at_once_is_told_how_many_are_left():
    item = make_loaded_item(units=3)

    refused = claim(item, 4)

    assert code(refused) == (409, "sold_out")
    assert refused.json()["left"] == 3


def test_all_held_means_that_units_may_come_back():
    item = make_loaded_item(units=1)
    claim(item)

    assert code(claim(item)) == (409, "all_held")


def test_all_held_says_when_the_next_hold_ends():
    item = make_loaded_item(units=1)
    held = claim(item)
    sync.drain(item.pk)
    tags.write()

    refused = claim(item)

    assert code(refused) == (409, "all_held")
    assert refused.json()["next_hold_at"] == held.json()["expires_at"]


def test_a_buyer_over_the_limit_is_told_what_is_still_allowed():
    item, guest = make_loaded_item(units=9, limit=3), as_guest()
    claim(item, 2, api=guest)

    refused = claim(item, 2, api=guest)

    assert code(refused) == (409, "limit_reached")
    assert refused.json()["still_allowed"] == 1


def test_a_limit_holds_across_all_tokens_of_an_account():
    item, user = make_loaded_item(units=9, limit=1), make_user()
    assert claim(item, api=as_user(user)).status_code == 201

    assert code(claim(item, api=as_user(user))) == (409, "limit_reached")


@pytest.mark.parametrize("preloaded", [True, False])
def test_a_claim_before_the_opening_is_told_when(preloaded):
    sale = make_sale(opens_in=60, state=FlashSale.State.SCHEDULED)
    item = (make_loaded_item if preloaded else make_item)(sale=sale)

    refused = claim(item)

    assert code(refused) == (409, "not_started")
    opens_at = item.opens_at.strftime("%Y-%m-%dT%H:%M:%S")
    assert refused.json()["opens_at"].startswith(opens_at)


def test_a_sale_that_is_over_admits_nobody():
    item = make_loaded_item()
    flash.end(item.sale_id)

    assert code(claim(item)) == (409, "ended")


def test_a_settled_sale_admits_nobody():
    item = make_loaded_item()
    flash.end(item.sale_id)
    assert flash.settle(item.sale_id)

    assert code(claim(item)) == (409, "ended")


def test_a_paused_sale_admits_nobody():
    item = make_loaded_item()
    flash.pause(item.sale_id)

    assert code(claim(item)) == (409, "paused")


def test_a_key_used_for_another_claim_is_a_conflict():
    item, key, guest = make_loaded_item(), uuid4(), as_guest()
    claim(item, 1, api=guest, key=key)

    assert code(claim(item, 2, api=guest, key=key)) == (409, "conflict")
    assert code(claim(item, 1, key=key)) == (409, "conflict")


def test_lost_counters_are_not_loaded_and_recovery_brings_them_back(
    sale_redis, room_server
):
    item, key, guest = make_loaded_item(units=2), uuid4(), as_guest()
    claim(item, api=guest, key=key)
    sale_redis.flushall()
    sale_redis.script_flush()

    refused = claim(item)

    assert code(refused) == (503, "not_loaded")
    assert int(refused["Retry-After"]) > 0
    waiting = get_queue("default").jobs
    assert [job.func_name for job in waiting] == ["sales.jobs.recover"]
    waiting[0].func()
    assert claim(item, api=guest, key=key).status_code == 200
    assert claim(item).json()["left"] == 0


def test_an_answer_that_is_lost_says_to_ask_again_with_the_same_key(sale_redis):
    item, key, guest = make_loaded_item(units=2), uuid4(), as_guest()
    claim(item)
    sale_redis.client_pause(60_000, all=False)

    lost = claim(item, api=guest, key=key)

    assert code(lost) == (503, "unsure")
    assert lost["Retry-After"] == "1"
    sale_redis.client_unpause()
    again = claim(item, api=guest, key=key)
    assert again.status_code in (200, 201)
    assert counters.snapshot(item.pk).left == 0


def test_a_claim_in_a_rush_asks_postgresql_nothing():
    item = make_loaded_item(units=5)
    guest, user = as_guest(), as_user()
    claim(item, api=guest)
    claim(item, api=user)

    with CaptureQueriesContext(connection) as queries:
        answers = [claim(item, api=guest), claim(item, api=user), claim(item, 9)]

    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert len(queries) == 0, [query["sql"] for query in queries]


def test_a_claim_needs_a_token_and_a_key():
    item = make_loaded_item()

    assert code(claim(item, api=Api())) == (401, "unauthorized")
    path = f"/flash-sales/{item.sale_id}/claims"
    without = as_guest().post(path, {"sku": item.product.sku})
    assert code(without) == (422, "invalid")
    assert counters.snapshot(item.pk).claims == 0


def test_a_claim_names_a_product_of_a_sale():
    item, other = make_loaded_item(), make_product()

    path = f"/flash-sales/{item.sale_id}/claims"
    wrong = as_guest().post(path, {"sku": other.sku}, key=uuid4())
    assert code(wrong) == (404, "unknown_sku")
    nowhere = as_guest().post(
        f"/flash-sales/{10**30}/claims", {"sku": other.sku}, key=uuid4()
    )
    assert code(nowhere) == (404, "not_found")


@pytest.mark.parametrize("quantity", [0, -1, 1.5, 1_000_001, "x", None])
def test_a_quantity_nobody_can_mean_is_refused(quantity):
    item = make_loaded_item()

    assert code(claim(item, quantity)) == (422, "invalid")


def test_an_address_given_with_the_claim_is_on_the_order_once_it_is_paid_for():
    item, key, guest = make_loaded_item(), uuid4(), as_guest()
    claim(item, api=guest, key=key, email="ada@example.com")

    guest.post(f"/orders/{key}/payment")

    assert guest.get(f"/orders/{key}").json()["email"] == "ada@example.com"


@pytest.mark.parametrize("email", [None, "eve@example.com"])
def test_a_flash_order_is_paid_with_the_accounts_address_or_a_given_one(email):
    item, key = make_loaded_item(), uuid4()
    api = as_user(make_user("ada@example.com"))
    claim(item, api=api, key=key)

    payment = api.post(f"/orders/{key}/payment", email and {"email": email}).json()
    Api().post(f"/payments/test/{payment['payment_id']}", {"outcome": "paid"})

    order = api.get(f"/orders/{key}").json()
    assert (order["state"], order["email"]) == ("paid", email or "ada@example.com")
    sync.drain(item.pk)
    assert api.get(f"/orders/{key}").json()["paid_at"].endswith("Z")
    assert Stock.objects.get().on_hand == 9


def test_a_guest_pays_a_flash_order_without_an_address():
    item, key, guest = make_loaded_item(), uuid4(), as_guest()
    claim(item, api=guest, key=key)

    payment = guest.post(f"/orders/{key}/payment").json()
    Api().post(f"/payments/test/{payment['payment_id']}", {"outcome": "paid"})

    assert guest.get(f"/orders/{key}").json()["state"] == "paid"


def test_a_claim_is_its_buyers_before_and_after_it_is_recorded():
    item, key, guest = make_loaded_item(), uuid4(), as_guest()
    claim(item, api=guest, key=key)

    for recorded in (False, True):
        if recorded:
            sync.drain(item.pk)
        assert Order.objects.filter(pk=key).exists() is recorded
        assert guest.get(f"/orders/{key}").status_code == 200
        assert code(as_guest().get(f"/orders/{key}")) == (404, "not_found")
        assert code(Api().post(f"/orders/{key}/cancel")) == (401, "unauthorized")
        assert as_staff("sales.view_order").get(f"/orders/{key}").status_code == 200


def test_a_cancelled_claim_frees_its_units_at_once():
    item, key, guest = make_loaded_item(units=1), uuid4(), as_guest()
    claim(item, api=guest, key=key)

    cancelled = guest.post(f"/orders/{key}/cancel")

    assert cancelled.json()["state"] == "cancelled"
    assert claim(item).status_code == 201
    assert code(guest.post(f"/orders/{key}/payment")) == (409, "not_possible")


# -- Reading -----------------------------------------------------------------------


def test_a_sale_shows_live_numbers_before_anything_is_recorded():
    product = make_product(on_hand=10, safety_threshold=2)
    item = make_loaded_item(product=product, limit=4)
    claim(item, 3)

    shown = Api().get(f"/flash-sales/{item.sale_id}").json()

    assert FlashSaleItem.objects.get().held == 0
    assert (shown["id"], shown["state"]) == (item.sale_id, "loaded")
    assert shown["opens_at"].endswith("Z")
    assert shown["items"] == [
        {
            "sku": product.sku,
            "name": "Clay pot",
            "price": "5.00",
            "regular_price": "9.99",
            "limit_per_buyer": 4,
            "state": "open",
            "units": 10,
            "left": 5,
            "floor": 2,
            "held": 3,
            "paying": 0,
            "paid": 0,
            "error": None,
        }
    ]


def test_a_sale_is_shown_while_redis_is_lost(sale_redis):
    item = make_loaded_item()
    sale_redis.flushall()

    shown = Api().get(f"/flash-sales/{item.sale_id}").json()

    assert shown["items"][0]["state"] == "not_loaded"
    assert shown["items"][0]["left"] is None


def test_a_settled_sale_shows_what_was_sold():
    item, key = make_loaded_item(units=5), uuid4()
    claim(item, 2, key=key)
    checkout.finish(checkout.begin_payment(key).pk, "paid")
    flash.end(item.sale_id)
    flash.settle(item.sale_id)

    shown = Api().get(f"/flash-sales/{item.sale_id}").json()

    assert shown["state"] == "settled"
    assert shown["items"][0]["state"] == "ended"
    assert (shown["items"][0]["paid"], shown["items"][0]["left"]) == (2, 0)


def test_drafts_and_cancelled_sales_are_for_staff_who_may_see_them():
    draft, cancelled = make_sale(), make_sale(state=FlashSale.State.CANCELLED)
    scheduled = make_sale(state=FlashSale.State.SCHEDULED)
    staff = as_staff("sales.view_flashsale")

    assert [s["id"] for s in Api().get("/flash-sales").json()["items"]] == [
        scheduled.pk
    ]
    assert {s["id"] for s in staff.get("/flash-sales").json()["items"]} == {
        draft.pk,
        cancelled.pk,
        scheduled.pk,
    }
    assert code(Api().get(f"/flash-sales/{draft.pk}")) == (404, "not_found")
    assert staff.get(f"/flash-sales/{draft.pk}").status_code == 200


def test_sales_are_listed_latest_first_by_state_and_cursor():
    states = [FlashSale.State.SCHEDULED, FlashSale.State.ENDED]
    made = [
        make_sale(opens_in=number - 100, state=states[number % 2])
        for number in range(50)
    ]
    api, found, cursor = Api(), [], ""
    while cursor is not None:
        listed = api.get(f"/flash-sales?state=ended&cursor={cursor}").json()
        found += [sale["id"] for sale in listed["items"]]
        cursor = listed["next"]

    assert found == [sale.pk for sale in reversed(made) if sale.state == "ended"]
    assert code(api.get("/flash-sales?cursor=x")) == (422, "bad_cursor")


def test_a_list_costs_the_same_queries_however_long(django_assert_num_queries):
    for _ in range(10):
        make_loaded_item()

    with django_assert_num_queries(2):
        assert len(Api().get("/flash-sales").json()["items"]) == 10


# -- Life of a sale ----------------------------------------------------------------


@pytest.fixture
def desk():
    return as_staff(
        "sales.add_flashsale", "sales.change_flashsale", "sales.view_flashsale"
    )


def sale_body(*products, opens_in=-5, closes_in=600, **fields):
    now = timezone.now()
    item = {"units": "all", "price": "4.50", "limit_per_buyer": 2}
    return {
        "name": "12.12",
        "opens_at": (now + timedelta(seconds=opens_in)).isoformat(),
        "closes_at": (now + timedelta(seconds=closes_in)).isoformat(),
        "items": [{"sku": product.sku, **item, **fields} for product in products],
    }


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
