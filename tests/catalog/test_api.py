"""/api/v1 for products and stock."""

from decimal import Decimal

import pytest

from catalog import stock, thresholds
from catalog.models import Product, Stock, StockMovement
from sales import flash
from tests.api import Api, as_guest, as_staff, as_user, code
from tests.factories import make_item, make_loaded_item, make_product, make_sale

pytestmark = pytest.mark.django_db

NEW = {
    "sku": "CLAY-POT",
    "name": "Clay pot",
    "price": "19.90",
    "on_hand": 12,
    "safety_threshold": 2,
    "low_stock_level": 3,
}


@pytest.fixture
def clerk():
    return as_staff("catalog.view_stock", "catalog.change_stock", "catalog.add_product")


def change(stock_row, **fields):
    return {"expected_version": stock_row.version, "reason": "count", **fields}


# -- Reading -----------------------------------------------------------------------


def test_a_product_is_shown_with_price_and_status():
    make_product(sku="POT", name="Pot", price=Decimal("5"), on_hand=9)

    answer = Api().get("/products/POT")

    assert answer.status_code == 200
    assert answer.json() == {
        "sku": "POT",
        "name": "Pot",
        "price": "5.00",
        "currency": "USD",
        "status": "in_stock",
        "only_left": None,
        "flash": None,
    }


@pytest.mark.parametrize(
    ("on_hand", "status", "only_left"),
    [
        (8, "in_stock", None),
        (7, "low_stock", 5),
        (3, "low_stock", 1),
        (2, "out_of_stock", 0),
        (0, "out_of_stock", 0),
    ],
)
def test_only_left_is_told_from_the_low_stock_level_down(on_hand, status, only_left):
    make_product(sku="POT", on_hand=on_hand, safety_threshold=2, low_stock_level=5)

    shown = Api().get("/products/POT").json()

    assert (shown["status"], shown["only_left"]) == (status, only_left)


def test_the_list_is_read_to_its_end_by_cursor():
    for number in range(120):
        make_product(f"Pot {number:03}")

    names, cursor, pages = [], "", 0
    while cursor is not None:
        listed = Api().get(f"/products?cursor={cursor}").json()
        names += [one["name"] for one in listed["items"]]
        cursor, pages = listed["next"], pages + 1

    assert names == [f"Pot {number:03}" for number in range(120)]
    assert pages == 3


def test_the_list_is_filtered_by_status_and_words():
    make_product("Clay pot", on_hand=0)
    make_product("Clay jar", on_hand=5)
    make_product("Wool hat", on_hand=5)

    def names(query):
        return [one["name"] for one in Api().get(f"/products{query}").json()["items"]]

    assert names("?status=out_of_stock") == ["Clay pot"]
    assert names("?q=cla") == ["Clay jar", "Clay pot"]
    assert names("?q=cla&status=in_stock") == ["Clay jar"]
    assert names("?q=nothing") == []


def test_unpublished_products_are_not_shown():
    make_product(sku="HIDDEN", is_published=False)

    assert Api().get("/products").json()["items"] == []
    assert code(Api().get("/products/HIDDEN")) == (404, "unknown_sku")


def test_a_list_costs_the_same_queries_however_long(django_assert_num_queries):
    for _ in range(30):
        make_product()

    with django_assert_num_queries(2):
        Api().get("/products")


@pytest.mark.redis
def test_a_product_tells_of_the_flash_sale_that_runs(sale_redis):
    item = make_loaded_item(units=4, price=Decimal("3"), limit=2)
    make_item(sale=make_sale(opens_in=600, state="scheduled"))

    (first, second) = Api().get("/products").json()["items"]

    assert first["flash"]["sale_id"] == item.sale_id
    assert first["flash"]["price"] == "3.00"
    assert first["flash"]["state"] == "open"
    assert first["flash"]["left"] == 4
    assert first["flash"]["opens_at"].endswith("Z")
    assert second["flash"] is None


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_products_are_shown_while_redis_is_lost(sale_redis):
    item = make_loaded_item()
    flash.pause(item.sale_id)
    sale_redis.flushall()

    shown = Api().get(f"/products/{item.product.sku}").json()

    assert (shown["flash"]["state"], shown["flash"]["left"]) == ("not_loaded", None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/products?status=lots", (422, "invalid")),
        ("/products?cursor=nonsense", (422, "bad_cursor")),
        ("/products?q=%00", (422, "invalid")),
        ("/products?q=" + "x" * 201, (422, "invalid")),
        ("/products/NONE", (404, "unknown_sku")),
        ("/products/%00", (422, "invalid")),
        ("/products/" + "x" * 81, (422, "invalid")),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(path, expected):
    assert code(Api().get(path)) == expected


# -- Stock -------------------------------------------------------------------------


def test_stock_is_shown_with_all_its_numbers(clerk):
    product = make_product(sku="POT", on_hand=10, safety_threshold=2, low_stock_level=1)
    stock.reserve({product.pk: 3}, note=stock.Note())

    shown = clerk.get("/products/POT/stock").json()

    assert shown.pop("updated_at").endswith("Z")
    assert shown == {
        "sku": "POT",
        "on_hand": 10,
        "reserved": 3,
        "allocated": 0,
        "available": 7,
        "safety_threshold": 2,
        "threshold_origin": "product",
        "low_stock_level": 1,
        "sellable": 5,
        "status": "in_stock",
        "version": 1,
    }


def test_count_and_levels_are_changed_together(clerk):
    product = make_product(sku="POT", on_hand=10)

    answer = clerk.patch(
        "/products/POT/stock",
        change(product.stock, on_hand=7, safety_threshold=7, low_stock_level=1),
    )

    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["on_hand"], shown["safety_threshold"]) == (7, 7)
    assert shown["status"] == "out_of_stock"
    assert shown["version"] == 3
    movement = StockMovement.objects.latest("pk")
    assert (movement.on_hand_delta, movement.reason) == (-3, "count")
    assert movement.actor is not None


def test_null_lets_a_level_be_inherited_again(clerk):
    thresholds.change_store(safety_threshold=4, low_stock_level=6)
    product = make_product(sku="POT", safety_threshold=1)

    shown = clerk.patch(
        "/products/POT/stock", change(product.stock, safety_threshold=None)
    ).json()

    assert (shown["safety_threshold"], shown["threshold_origin"]) == (4, "store")


def test_a_change_on_an_old_version_is_refused_and_changes_nothing(clerk):
    product = make_product(sku="POT", on_hand=10)
    wanted = change(product.stock, on_hand=3, safety_threshold=1)
    stock.receive(product.pk, 5, note=stock.Note())

    answer = clerk.patch("/products/POT/stock", wanted)

    assert code(answer) == (409, "version_conflict")
    assert answer.json()["version"] == 2
    assert Stock.objects.get(pk=product.pk).on_hand == 15


def test_a_count_below_what_is_promised_is_refused_with_its_levels(clerk):
    product = make_product(sku="POT", on_hand=10)
    stock.reserve({product.pk: 6}, note=stock.Note())

    answer = clerk.patch(
        "/products/POT/stock", change(product.stock, on_hand=5, safety_threshold=1)
    )

    assert code(answer) == (409, "stock_conflict")
    assert Stock.objects.get(pk=product.pk).safety_threshold == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"on_hand": -1},
        {"on_hand": 1_000_001},
        {"on_hand": 10**30},
        {"on_hand": 1.5},
        {"on_hand": "many"},
        {"safety_threshold": -1},
        {"reason": "x" * 201},
        {"reason": "a\x00b"},
        {"onhand": 3},
        {"expected_version": None},
        {"expected_version": 2**63},
    ],
)
def test_impossible_numbers_and_texts_are_refused(clerk, wrong):
    product = make_product(sku="POT")

    answer = clerk.patch("/products/POT/stock", change(product.stock) | wrong)

    assert code(answer) == (422, "invalid")
    assert next(iter(wrong)) in answer.json()["errors"][0]["where"]


def test_the_ledger_is_read_newest_first_by_cursor(clerk):
    product = make_product(sku="POT", on_hand=1)
    for number in range(60):
        stock.receive(product.pk, number + 1, note=stock.Note(reason=f"{number}"))
    make_product(on_hand=99)

    first = clerk.get("/products/POT/movements").json()
    second = clerk.get(f"/products/POT/movements?cursor={first['next']}").json()

    reasons = [one["reason"] for one in first["items"] + second["items"]]
    assert reasons == [str(number) for number in reversed(range(60))] + [""]
    assert second["next"] is None
    assert first["items"][0]["kind"] == "receipt"
    assert first["items"][0]["created_at"].endswith("Z")


# -- New products ------------------------------------------------------------------


def test_a_product_is_made_with_its_stock_and_first_movement(clerk):
    answer = clerk.post("/products", NEW)

    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["sku"], shown["price"], shown["flash"]) == ("CLAY-POT", "19.90", None)
    assert (shown["stock"]["on_hand"], shown["stock"]["sellable"]) == (12, 10)
    assert StockMovement.objects.get().on_hand_delta == 12
    assert Api().get("/products/CLAY-POT").json()["status"] == "in_stock"


def test_a_new_product_inherits_the_levels_it_does_not_name(clerk):
    thresholds.change_store(safety_threshold=4, low_stock_level=6)

    shown = clerk.post("/products", {"sku": "POT", "name": "Pot", "price": 3}).json()

    assert shown["stock"]["threshold_origin"] == "store"
    assert shown["stock"]["safety_threshold"] == 4
    assert shown["stock"]["low_stock_level"] == 6


def test_a_sku_that_is_taken_is_refused(clerk):
    make_product(sku="CLAY-POT")

    assert code(clerk.post("/products", NEW)) == (409, "sku_taken")


def test_two_products_may_have_the_same_name(clerk):
    assert clerk.post("/products", NEW).status_code == 201
    assert clerk.post("/products", NEW | {"sku": "OTHER"}).status_code == 201


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": "-1"},
        {"price": "1.999"},
        {"price": "NaN"},
        {"price": "Infinity"},
        {"price": "10000000.00"},
        {"price": "1e400"},
        {"price": None},
        {"on_hand": -1},
        {"sku": ""},
        {"sku": "a\x00"},
        {"sku": "x" * 81},
        {"name": "\ud800"},
        {"name": "x" * 201},
    ],
)
def test_an_impossible_product_is_refused(clerk, wrong):
    assert code(clerk.post("/products", NEW | wrong)) == (422, "invalid")
    assert not Product.objects.exists()


# -- Who may -----------------------------------------------------------------------

STAFF_CALLS = [
    ("GET", "/products/POT/stock", None, "catalog.view_stock"),
    ("GET", "/products/POT/movements", None, "catalog.view_stock"),
    (
        "PATCH",
        "/products/POT/stock",
        {"expected_version": 1, "on_hand": 3, "reason": "count"},
        "catalog.change_stock",
    ),
    ("POST", "/products", NEW, "catalog.add_product"),
]


@pytest.mark.parametrize(("method", "path", "body", "permission"), STAFF_CALLS)
def test_a_staff_call_needs_exactly_its_permission(method, path, body, permission):
    make_product(sku="POT")
    others = {call[3] for call in STAFF_CALLS} - {permission}

    assert code(Api().call(method, path, body)) == (401, "unauthorized")
    assert code(as_guest().call(method, path, body)) == (403, "forbidden")
    assert code(as_user().call(method, path, body)) == (403, "forbidden")
    refused = as_staff(*others).call(method, path, body)
    assert code(refused) == (403, "forbidden")
    assert refused.json()["permission"] == permission
    assert as_staff(permission).call(method, path, body).status_code in (200, 201)
