"""What the API shows of flash sales."""

from uuid import uuid4

import pytest

from sales import checkout, flash
from sales.models import FlashSale, FlashSaleItem
from tests.api import Api, as_staff, code
from tests.factories import (
    make_loaded_item,
    make_product,
    make_sale,
)
from tests.sales.flash_api.calls import claim

pytestmark = [
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sale_redis"),
]


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
