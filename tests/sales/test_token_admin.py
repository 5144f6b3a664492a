"""API tokens in the dashboard: made for oneself, shown once, revoked at once."""

import re

import pytest

from catalog.callers import STAFF_PERMISSIONS
from sales import tokens
from sales.models import ApiToken
from shop.api import api
from tests.api import Api, as_staff, code
from tests.factories import make_product, make_user

pytestmark = pytest.mark.django_db

URL = "/admin/sales/apitoken/"


def signed_in(client, *permissions):
    user = make_user(permissions=permissions)
    client.force_login(user)
    return user


def test_a_new_token_is_shown_once_and_does_what_was_chosen(client):
    user = signed_in(
        client, "sales.add_apitoken", "sales.view_apitoken", "catalog.view_stock"
    )
    make_product(sku="POT")

    page = client.post(
        f"{URL}add/",
        {"name": "Robot", "permissions": ["catalog.view_stock"], "days": 7},
        follow=True,
    ).content.decode()

    (token,) = re.findall(r"hf_[\w-]{40,}", page)
    assert token not in client.get(URL).content.decode()
    assert tokens.find(token).user == user
    assert Api(token).get("/products/POT/stock").status_code == 200
    assert code(Api(token).get("/flash-sales/1/audit")) == (403, "forbidden")


def test_a_token_can_do_no_more_than_its_user(client):
    signed_in(client, "sales.add_apitoken", "sales.view_apitoken")
    make_product(sku="POT")

    page = client.post(
        f"{URL}add/",
        {"name": "", "permissions": ["catalog.view_stock"], "days": 7},
        follow=True,
    ).content.decode()

    (token,) = re.findall(r"hf_[\w-]{40,}", page)
    assert code(Api(token).get("/products/POT/stock")) == (403, "forbidden")


@pytest.mark.django_db(transaction=True)
def test_a_token_is_revoked_by_who_may(client):
    other = as_staff("catalog.view_stock")
    row = tokens.find(other.token)
    address = f"{URL}{row.pk}/revoke/"
    signed_in(client, "sales.view_apitoken")
    assert client.post(address).status_code == 403
    signed_in(client, "sales.view_apitoken", "sales.change_apitoken")
    assert other.post("/carts").status_code == 201

    client.get(address)
    assert other.post("/carts").status_code == 201
    client.post(address)

    assert code(other.post("/carts")) == (401, "unauthorized")
    assert "Revoked" in client.get(f"{URL}{row.pk}/change/").content.decode()


def test_tokens_are_not_for_staff_without_the_permission(client):
    signed_in(client, "catalog.view_stock")
    assert client.get(URL).status_code == 403
    assert client.get(f"{URL}add/").status_code == 403
    assert not ApiToken.objects.exists()


def test_every_permission_the_api_asks_for_can_be_chosen():
    asked = set()
    for _path, methods in api.get_openapi_schema()["paths"].items():
        for operation in methods.values():
            asked |= set(re.findall(r"permission `([\w.]+)`", operation["description"]))

    assert asked <= set(STAFF_PERMISSIONS)
