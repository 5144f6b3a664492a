"""What all calls of the API have in common: errors, entity tags, limits, words."""

import json
import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import get_resolver

from catalog import products
from shop.api import api
from tests.api import BASE, Api, as_guest, as_staff, code
from tests.factories import make_loaded_item, make_product

pytestmark = pytest.mark.django_db


# -- Errors ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1/", "/api/v1/nothing", "/api/v2/products", "/api/docs/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_address_is_a_problem(client, path, method):
    assert code(client.generic(method, path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/products", {"GET", "POST"}),
        ("GET", "/tokens", {"POST"}),
        ("PUT", "/flash-sales/1/claims", {"POST"}),
        ("POST", "/openapi.json", {"GET", "HEAD"}),
        ("OPTIONS", "/openapi.json", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_a_problem_and_names_the_right_ones(method, path, allowed):
    answer = Api().call(method, path)

    assert code(answer) == (405, "method_not_allowed")
    assert set(answer["Allow"].split(", ")) == allowed


def test_another_method_of_the_docs_page_is_a_problem():
    client = Client(enforce_csrf_checks=True)

    assert code(client.post("/api/docs")) == (405, "method_not_allowed")
    assert code(client.put(f"{BASE}/openapi.json")) == (405, "method_not_allowed")


def test_head_answers_like_get_without_a_body():
    shown, asked = Api().get("/products"), Api().call("HEAD", "/products")

    assert (asked.status_code, asked.content) == (200, b"")
    assert asked["ETag"] == shown["ETag"]
    assert asked["Content-Length"] == str(len(shown.content))
    assert Api().call("HEAD", "/tokens").status_code == 405


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b'{"email": NaN}',
        b'{"email": Infinity}',
        b"[" * 100_000,
        b"1" * 5000,
        b'"text',
    ],
)
def test_a_body_that_is_not_json_is_malformed(body):
    assert code(Api().post("/users", body)) == (400, "malformed")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"3", b'"x"', b"{}"])
def test_json_that_is_not_what_is_asked_is_invalid(body):
    answer = Api().post("/users", body)

    assert code(answer) == (422, "invalid")
    assert answer.json()["errors"]


def test_a_problem_names_the_place_in_the_body_as_it_was_sent():
    answer = Api().post("/users", {"email": "ada", "password": "x"})

    assert answer.json()["errors"] == [
        {"where": "body.email", "what": "Enter a valid email address."}
    ]


def test_a_huge_body_is_too_large():
    body = json.dumps({"email": "x" * 3_000_000, "password": "y"})

    assert code(Api().post("/users", body)) == (413, "too_large")


def test_a_crash_is_a_problem_that_tells_nothing(monkeypatch):
    def crash(*_arguments, **_options):
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(products, "create", crash)
    body = {"sku": "A", "name": "A", "price": "1.00"}

    answer = as_staff("catalog.add_product").post("/products", body)

    assert code(answer) == (500, "internal_error")
    assert b"secret" not in answer.content


def test_pages_keep_their_own_errors(client):
    assert client.get("/nothing")["Content-Type"].startswith("text/html")


def test_forms_are_read_like_json(client):
    make_product(sku="POT")
    cart = Api().post("/carts").json()["id"]

    answer = client.put(
        f"{BASE}/carts/{cart}/items/POT",
        "quantity=2",
        content_type="application/x-www-form-urlencoded",
    )

    assert answer.status_code in (200, 422)


# -- Entity tags -------------------------------------------------------------------


def test_a_read_that_has_not_changed_is_not_sent_again():
    product = make_product(sku="POT")
    first = Api().get("/products/POT")

    unchanged = Api().get("/products/POT", If_None_Match=first["ETag"])
    product.name = "Jar"
    product.save()
    changed = Api().get("/products/POT", If_None_Match=first["ETag"])

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged["ETag"] == first["ETag"]
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]


def test_answers_are_private_and_errors_are_not_kept():
    make_product(sku="POT")

    assert "private" in Api().get("/products/POT")["Cache-Control"]
    assert "Authorization" in Api().get("/products/POT")["Vary"]
    assert Api().get("/products/NONE")["Cache-Control"] == "no-store"


# -- Limits ------------------------------------------------------------------------


@pytest.fixture
def limited(settings, one_minute):
    """Few calls of each kind."""
    settings.SHOP_API_LIMITS = {
        "calls": {"token": 3, "address": 8},
        "claims": {"token": 2, "address": 8},
        "sign-in": {"token": 2, "address": 2},
    }
    return settings


def test_calls_of_a_token_are_limited_and_counted_down(limited):
    guest = as_guest()

    answers = [guest.get("/products") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [a["RateLimit-Limit"] for a in answers] == ["3"] * 4
    assert [a["RateLimit-Remaining"] for a in answers] == ["2", "1", "0", "0"]
    assert 0 < int(answers[0]["RateLimit-Reset"]) <= 60
    assert code(answers[3]) == (429, "too_many_requests")
    assert 0 < int(answers[3]["Retry-After"]) <= 60


def test_calls_of_an_address_are_limited_whatever_the_tokens(limited):
    answers = [as_guest().get("/products").status_code for _ in range(10)]

    assert answers == [200] * 8 + [429] * 2


def test_calls_with_a_token_that_is_not_valid_count_too(limited):
    answers = [Api("hf_wrong").get("/products") for _ in range(10)]

    assert [a.status_code for a in answers] == [401] * 8 + [429] * 2
    assert answers[7]["RateLimit-Remaining"] == "0"
    assert 0 < int(answers[9]["Retry-After"]) <= 60


def test_a_failed_sign_in_counts_once(limited):
    limited.SHOP_API_LIMITS["sign-in"]["address"] = 5
    body = {"email": "ada@example.com", "password": "wrong"}

    answers = [Api().post("/tokens", body) for _ in range(2)]

    assert [a.status_code for a in answers] == [401, 401]
    assert [a["RateLimit-Remaining"] for a in answers] == ["4", "3"]


def test_the_address_comes_from_the_proxy_only_if_there_is_one(limited):
    limited.SHOP_API_LIMITS["calls"]["address"] = 1

    def visit(address):
        return Api().get("/products", X_Forwarded_For=address).status_code

    assert [visit("1.1.1.1"), visit("2.2.2.2")] == [200, 429]


@pytest.mark.parametrize(
    ("path", "body"),
    [("/users", {}), ("/tokens", {}), ("/guests", None)],
)
def test_sign_in_has_a_tighter_limit_of_its_own(limited, path, body):
    answers = [Api().post(path, body).status_code for _ in range(3)]

    assert answers[2] == 429
    assert 429 not in answers[:2]
    assert Api().get("/products").status_code == 200


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_claims_have_a_limit_of_their_own(limited, sale_redis):
    item, guest = make_loaded_item(limit=10), as_guest()

    def claim():
        body = {"sku": item.product.sku}
        path = f"/flash-sales/{item.sale_id}/claims"
        return guest.post(path, body, key=uuid4()).status_code

    assert [claim() for _ in range(3)] == [201, 201, 429]
    assert guest.get("/products").status_code == 200


def test_limits_can_be_turned_off(limited):
    limited.SHOP_RATE_LIMITS = False
    guest = as_guest()

    answers = [guest.get("/products") for _ in range(20)]

    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit-Limit" not in answers[0]


def test_everybody_is_let_through_when_nobody_can_count(limited):
    limited.CACHE_REDIS_URL = "redis://127.0.0.1:1/0"

    assert {as_guest().get("/products").status_code for _ in range(9)} == {200}


def test_the_default_limits_allow_an_office_in_a_rush(settings):
    """60 people behind one address: each a guest, a look a second, a claim or two."""
    most = settings.SHOP_API_LIMITS

    assert most["sign-in"]["address"] >= 60 * 3
    assert most["calls"]["token"] >= 60 * 2
    assert most["calls"]["address"] >= 60 * 60
    assert most["claims"]["token"] >= 20
    assert most["claims"]["address"] >= 60 * 20


# -- The description ---------------------------------------------------------------


@pytest.fixture
def described(client):
    return client.get("/api/v1/openapi.json").json()


def operations(described):
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_declares_its_errors_as_problems(described):
    assert described["openapi"].startswith("3.1")
    for name, operation in operations(described):
        answers = operation["responses"]
        assert {"422", "429", "500"} <= answers.keys(), name
        for status, answer in answers.items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], name


def test_every_operation_has_words_and_a_unique_name(described):
    names = [operation["operationId"] for _name, operation in operations(described)]

    assert len(names) == len(set(names))
    assert all(o["summary"] and o["description"] for _n, o in operations(described))
    assert all(operation["tags"] for _name, operation in operations(described))


def test_every_staff_operation_names_its_permission_and_403(described):
    staff = {
        name: operation
        for name, operation in operations(described)
        if "403" in operation["responses"]
    }

    assert len(staff) == 12
    for name, operation in staff.items():
        assert re.search(r"permission `\w+\.\w+`", operation["description"]), name
        assert operation["security"] == [{"Token": []}], name


def test_every_call_that_makes_something_takes_a_key(described):
    for name, operation in operations(described):
        if "201" in operation["responses"]:
            names = {p["name"].lower() for p in operation["parameters"]}
            assert "idempotency-key" in names, name
            assert "200" in operation["responses"], name


def test_every_key_that_may_be_sent_is_read(described):
    may = {"in": "header", "name": "Idempotency-Key", "required": False}
    takes_one = [
        name.split()
        for name, operation in operations(described)
        if any(may.items() <= p.items() for p in operation["parameters"])
    ]

    assert len(takes_one) == 7
    for method, path in takes_one:
        path = path.removeprefix(BASE).replace("{sale_id}", "1")
        answer = Api().call(method, path, {}, key="no UUID")
        assert code(answer) == (422, "invalid"), path
        assert answer.json()["detail"] == "Idempotency-Key must be a UUID."


def test_every_operation_of_the_urls_is_described(described):
    routes = {
        "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        for pattern in get_resolver("shop.urls").url_patterns
        if getattr(pattern, "namespace", "") == "api-1"
        for pattern in pattern.url_patterns
    }
    hidden = {"/", "/openapi.json"}

    paths = {path.removeprefix(BASE) for path in described["paths"]}
    assert paths == routes - hidden


def test_the_docs_page_works_without_the_network(client):
    page = client.get("/api/docs")

    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert addresses
    assert all(address.startswith("/static/") for address in addresses)
    assert client.get("/docs")["Location"] == "/api/docs"


def test_the_description_is_made_once(client, django_assert_num_queries):
    assert api.get_openapi_schema() is api.get_openapi_schema()
    with django_assert_num_queries(0):
        answer = client.get("/api/v1/openapi.json")
    assert answer.status_code == 200
