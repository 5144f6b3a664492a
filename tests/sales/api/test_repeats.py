"""/api/v1: a call made twice gets one answer."""

import json
from uuid import uuid4

import pytest

from sales.models import Cart, StoredAnswer
from tests.api import Api, as_guest, as_staff, code
from tests.sales.api.calls import CREDENTIALS

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/users", CREDENTIALS, CREDENTIALS | {"email": "b@example.com"}),
        (
            "/products",
            {"sku": "A", "name": "A", "price": "1.00"},
            {"sku": "B", "name": "B", "price": "1.00"},
        ),
    ],
)
def test_a_repeat_of_a_call_that_makes_something_gets_the_first_answer(
    path, body, other
):
    api, key = as_staff("catalog.add_product"), uuid4()
    first = api.post(path, body, key=key)

    again = api.post(path, json.dumps(body, indent=3, sort_keys=True), key=key)

    assert first.status_code == 201
    assert (again.status_code, again.json()) == (200, first.json())
    assert code(api.post(path, other, key=key)) == (422, "idempotency_mismatch")
    assert api.post(path, other, key=uuid4()).status_code == 201


def test_a_repeated_cart_is_the_same_cart():
    key = uuid4()

    carts_made = {Api().post("/carts", key=key).json()["id"] for _ in range(3)}

    assert len(carts_made) == 1
    assert Cart.objects.count() == 1


def test_keys_of_different_callers_do_not_meet():
    key = uuid4()

    made = {
        api.post("/carts", key=key).json()["id"] for api in (as_guest(), as_guest())
    }

    assert len(made) == 2


def test_a_stored_answer_cannot_be_read_without_its_key():
    Api().post("/users", CREDENTIALS, key=uuid4())

    stored = bytes(StoredAnswer.objects.get().answer)

    assert b"hf_" not in stored
    assert b"token" not in stored
