"""/api/v1 for orders."""

from uuid import uuid4

import pytest
from django.utils import timezone

from catalog.models import Stock
from sales import answers, carts, orders
from sales.models import Order, StoredAnswer
from tests.api import Api, as_guest, as_staff, as_user, code
from tests.factories import make_product, make_user
from tests.sales.api.calls import EMAIL, make_cart, order_of

pytestmark = pytest.mark.django_db


def test_a_cart_becomes_an_order_under_the_clients_key():
    product = make_product(on_hand=5)
    cart, key = make_cart((product, 2)), uuid4()

    answer = Api().post("/orders", {"cart_id": str(cart.pk), "email": EMAIL}, key=key)

    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["id"], shown["state"]) == (str(key), "held")
    assert (shown["total"], shown["email"]) == ("19.98", EMAIL)
    assert shown["expires_at"].endswith("Z")
    assert shown["lines"][0]["quantity"] == 2
    assert Stock.objects.get().reserved == 2
    assert carts.contents(cart) == []


def test_a_repeat_gets_the_first_answer_and_takes_nothing():
    product = make_product(on_hand=5)
    cart, key = make_cart((product, 2)), uuid4()
    body = {"cart_id": str(cart.pk), "email": EMAIL}
    first = Api().post("/orders", body, key=key)
    orders.cancel(key)

    again = Api().post("/orders", body, key=key)

    assert (again.status_code, again.json()) == (200, first.json())
    assert again["Idempotency-Replayed"] == "true"
    assert Order.objects.count() == 1


def test_a_repeat_after_the_answer_is_forgotten_gets_the_order_as_it_is():
    product = make_product(on_hand=5)
    cart, key = make_cart((product, 2)), uuid4()
    body = {"cart_id": str(cart.pk), "email": EMAIL}
    Api().post("/orders", body, key=key)
    assert answers.delete_old(timezone.now() + answers.KEPT) == 1

    again = Api().post("/orders", body, key=key)

    assert (again.status_code, again.json()["id"]) == (200, str(key))
    assert Stock.objects.get().reserved == 2


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_key_used_for_another_order_is_refused(forgotten):
    product = make_product(on_hand=5)
    key = uuid4()
    order_of(Api(), (product, 2), key=key)
    if forgotten:
        StoredAnswer.objects.all().delete()
    other = {"cart_id": str(make_cart((product, 1)).pk), "email": "b@example.com"}

    assert code(Api().post("/orders", other, key=key)) == (422, "idempotency_mismatch")
    assert code(as_guest().post("/orders", other, key=key)) == (
        422,
        "idempotency_mismatch",
    )
    assert Stock.objects.get().reserved == 2


def test_a_short_order_names_every_short_line_and_takes_nothing():
    short, none, enough = (
        make_product(sku="SHORT", on_hand=5, safety_threshold=2),
        make_product(sku="NONE", on_hand=0),
        make_product(sku="ENOUGH", on_hand=9),
    )

    answer = order_of(Api(), (short, 4), (none, 1), (enough, 1))

    assert code(answer) == (409, "insufficient_stock")
    assert answer.json()["lines"] == [
        {"sku": "SHORT", "name": "Clay pot", "requested": 4, "sellable": 3},
        {"sku": "NONE", "name": "Clay pot", "requested": 1, "sellable": 0},
    ]
    assert not Stock.objects.filter(reserved__gt=0).exists()
    assert not Order.objects.exists()


def test_a_refused_order_can_be_tried_again_with_its_key():
    product, key = make_product(on_hand=1), uuid4()
    cart = make_cart((product, 2))
    body = {"cart_id": str(cart.pk), "email": EMAIL}
    assert code(Api().post("/orders", body, key=key)) == (409, "insufficient_stock")
    carts.put(cart, product, 1)

    assert Api().post("/orders", body, key=key).status_code == 201


def test_an_order_of_nothing_is_refused():
    assert code(order_of(Api())) == (409, "empty_cart")


@pytest.mark.parametrize("key", [None, "", "x", "1234"])
def test_an_order_needs_a_key_that_is_a_uuid(key):
    cart = make_cart((make_product(), 1))
    body = {"cart_id": str(cart.pk), "email": EMAIL}

    assert code(Api().post("/orders", body, key=key)) == (422, "invalid")


def test_an_order_needs_an_address_which_an_account_has():
    product, user = make_product(), make_user("bob@example.com")
    cart = make_cart((product, 1))

    without = Api().post("/orders", {"cart_id": str(cart.pk)}, key=uuid4())
    assert code(without) == (422, "invalid")
    placed = as_user(user).post("/orders", {"cart_id": str(cart.pk)}, key=uuid4())
    assert placed.json()["email"] == "bob@example.com"
    assert Order.objects.get().user == user


def test_somebody_elses_cart_cannot_be_ordered():
    user = make_user()
    cart = make_cart((make_product(), 1), user=user)
    body = {"cart_id": str(cart.pk), "email": EMAIL}

    assert code(as_user().post("/orders", body, key=uuid4())) == (404, "not_found")


def test_an_account_reads_its_own_orders_newest_first_by_cursor(monkeypatch):
    monkeypatch.setattr("sales.api.order_calls.PAGE", 2)
    product, user = make_product(), make_user()
    made = [order_of(as_user(user), (product, 1)).json()["id"] for _ in range(3)]
    order_of(as_user(), (product, 1))

    first = as_user(user).get("/orders").json()
    rest = as_user(user).get(f"/orders?cursor={first['next']}").json()

    assert [row["id"] for row in first["items"] + rest["items"]] == made[::-1]
    assert rest["next"] is None
    assert first["items"][0]["lines"][0]["sku"] == product.sku


def test_a_list_of_orders_needs_a_token_and_a_guest_has_none():
    guest = as_guest()
    order_of(guest, (make_product(), 1))

    assert code(Api().get("/orders")) == (401, "unauthorized")
    assert guest.get("/orders").json() == {"items": [], "next": None}
    assert code(as_user().get("/orders?cursor=x")) == (422, "bad_cursor")


def test_an_order_is_seen_by_its_buyer_and_by_staff_who_may():
    product = make_product()
    user = make_user()
    guest = as_guest()
    by_user, by_guest, by_nobody = (
        order_of(api, (product, 1)).json()["id"]
        for api in (as_user(user), guest, Api())
    )

    def seen(api):
        return [
            api.get(f"/orders/{pk}").status_code
            for pk in (by_user, by_guest, by_nobody)
        ]

    assert seen(as_user(user)) == [200, 404, 200]
    assert seen(guest) == [404, 200, 200]
    assert seen(as_guest()) == [404, 404, 200]
    assert seen(as_user()) == [404, 404, 200]
    assert seen(Api()) == [401, 401, 200]
    assert seen(as_staff("catalog.view_stock")) == [404, 404, 200]
    assert seen(as_staff("sales.view_order")) == [200, 200, 200]


def test_only_the_buyer_pays_and_only_buyer_and_staff_who_may_cancel():
    product = make_product()
    user = make_user()
    order = order_of(as_user(user), (product, 1)).json()["id"]
    viewer, editor = as_staff("sales.view_order"), as_staff("sales.change_order")

    assert code(Api().post(f"/orders/{order}/payment")) == (401, "unauthorized")
    assert code(as_user().post(f"/orders/{order}/payment")) == (404, "not_found")
    assert code(editor.post(f"/orders/{order}/payment")) == (404, "not_found")
    assert code(viewer.post(f"/orders/{order}/cancel")) == (404, "not_found")
    assert code(as_guest().post(f"/orders/{order}/cancel")) == (404, "not_found")
    cancelled = editor.post(f"/orders/{order}/cancel")
    assert cancelled.json()["state"] == "cancelled"


def test_a_cancelled_order_gives_its_units_back_and_cannot_be_paid():
    order = order_of(Api(), (make_product(), 3)).json()["id"]

    cancelled = Api().post(f"/orders/{order}/cancel")

    assert cancelled.json()["state"] == "cancelled"
    assert Stock.objects.get().reserved == 0
    assert code(Api().post(f"/orders/{order}/payment")) == (409, "not_possible")


def test_an_order_that_is_not_there_is_not_found():
    assert code(Api().get(f"/orders/{uuid4()}")) == (404, "not_found")
    assert code(Api().get("/orders/nonsense")) == (404, "not_found")
