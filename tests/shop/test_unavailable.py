"""While PostgreSQL is away, visitors and programs are told to come again."""

import pytest
from django.db import connection
from django.http import HttpResponse
from django.urls import include, path

from catalog import products
from shop.unavailable import RETRY_SECONDS
from tests.api import as_staff, code

pytestmark = pytest.mark.django_db


def ask_one_that_is_away(*_arguments, **_options):
    away = connection.copy()
    away.settings_dict["OPTIONS"] = {"host": "/nowhere"}
    away.ensure_connection()


def ask_too_much(request):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)")
    return HttpResponse()


handler500 = "shop.unavailable.server_error"
urlpatterns = [
    path("away/", ask_one_that_is_away),
    path("too-much/", ask_too_much),
    path("", include("shop.urls")),
]


@pytest.fixture
def visitor(client):
    client.raise_request_exception = False
    return client


@pytest.mark.urls(__name__)
def test_a_page_says_that_the_shop_comes_back(visitor):
    response = visitor.get("/away/")

    assert response.status_code == 503
    assert response["Retry-After"] == str(RETRY_SECONDS)
    assert "We will be back in a moment" in response.text


@pytest.mark.urls(__name__)
def test_what_postgresql_refuses_is_a_failure_of_ours(visitor):
    assert visitor.get("/too-much/").status_code == 500


def test_a_call_is_told_when_to_come_again(monkeypatch):
    monkeypatch.setattr(products, "create", ask_one_that_is_away)
    body = {"sku": "A", "name": "A", "price": "1.00"}

    answer = as_staff("catalog.add_product").post("/products", body)

    assert code(answer) == (503, "unavailable")
    assert answer["Retry-After"] == str(RETRY_SECONDS)
