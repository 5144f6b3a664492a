"""/api/v1 for carts."""

from uuid import uuid4

import pytest

from tests.api import Api, as_guest, as_user, code
from tests.factories import make_product, make_user
from tests.sales.api.calls import make_cart

pytestmark = pytest.mark.django_db


def test_a_cart_says_what_can_be_had_now():
    make_product(sku="POT", on_hand=5, safety_threshold=2)
    cart = Api().post("/carts").json()["id"]

    Api().put(f"/carts/{cart}/items/POT", {"quantity": 1})
    answer = Api().put(f"/carts/{cart}/items/POT", {"quantity": 4})

    assert answer.status_code == 200
    assert answer.json() == Api().get(f"/carts/{cart}").json()
    assert answer.json() == {
        "id": cart,
        "items": [
            {
                "sku": "POT",
                "name": "Clay pot",
                "quantity": 4,
                "price": "9.99",
                "total": "39.96",
                "can_have": 3,
                "is_short": True,
            }
        ],
        "total": "39.96",
        "currency": "USD",
    }


def test_a_line_is_taken_out_by_delete_or_by_zero():
    first, second = make_product(), make_product()
    cart = make_cart((first, 1), (second, 1))

    Api().delete(f"/carts/{cart.pk}/items/{first.sku}")
    left = Api().put(f"/carts/{cart.pk}/items/{second.sku}", {"quantity": 0}).json()

    assert left["items"] == []
    assert left["total"] == "0.00"


@pytest.mark.parametrize("quantity", [-1, 1_000_001, 1.5, "two", None, 10**400])
def test_a_quantity_nobody_can_mean_is_refused(quantity):
    product = make_product()
    cart = make_cart()

    answer = Api().put(f"/carts/{cart.pk}/items/{product.sku}", {"quantity": quantity})

    assert answer.status_code in (400, 422)
    assert not cart.lines.exists()


def test_a_cart_and_a_product_must_be_there():
    cart = make_cart()

    assert code(Api().get(f"/carts/{uuid4()}")) == (404, "not_found")
    unknown = Api().put(f"/carts/{cart.pk}/items/NONE", {"quantity": 1})
    assert code(unknown) == (404, "unknown_sku")


def test_an_accounts_cart_is_its_own():
    user = make_user()
    cart = make_cart(user=user)

    assert as_user(user).get(f"/carts/{cart.pk}").status_code == 200
    for other in (Api(), as_guest(), as_user()):
        assert code(other.get(f"/carts/{cart.pk}")) == (404, "not_found")
