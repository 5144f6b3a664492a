"""Claims: every answer a client has to understand."""

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_rq import get_queue

from catalog.models import Stock
from sales import checkout, counters, flash, sync, tags
from sales.models import FlashSale, Order
from tests.api import Api, as_guest, as_staff, as_user, code
from tests.factories import (
    make_item,
    make_loaded_item,
    make_product,
    make_sale,
    make_user,
)
from tests.sales.flash_api.calls import claim

pytestmark = [
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sale_redis"),
]


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


def test_lost_counters_are_not_loaded_and_recovery_brings_them_back(sale_redis):
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
