"""/api/v1 for accounts and tokens."""

from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import User
from django.utils import timezone

from sales import jobs, tokens
from sales.models import ApiToken, Cart, StoredAnswer
from tests.api import Api, as_guest, as_user, code
from tests.factories import make_product, make_user
from tests.sales.api.calls import CREDENTIALS, EMAIL, PASSWORD

pytestmark = pytest.mark.django_db


def test_an_account_is_made_with_a_token_that_works():
    answer = Api().post("/users", {"email": "Ada@Example.com", "password": PASSWORD})

    assert answer.status_code == 201
    user = User.objects.get(pk=answer.json()["id"])
    assert (user.username, user.email) == (EMAIL, EMAIL)
    assert user.check_password(PASSWORD)
    cart = Api(answer.json()["token"]).post("/carts").json()
    assert Cart.objects.get(pk=cart["id"]).user == user


def test_an_address_has_one_account_whatever_its_letters():
    Api().post("/users", CREDENTIALS)

    again = Api().post("/users", {"email": "ADA@example.com", "password": PASSWORD})

    assert code(again) == (409, "email_taken")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"email": EMAIL, "password": "12345678"}, "weak_password"),
        ({"email": EMAIL, "password": "ada@example.com"}, "weak_password"),
        ({"email": "ada", "password": PASSWORD}, "invalid"),
        ({"email": "ada@example.com\x00", "password": PASSWORD}, "invalid"),
        ({"email": "a" * 150 + "@example.com", "password": PASSWORD}, "invalid"),
        ({"email": EMAIL, "password": "x" * 201}, "invalid"),
        ({"email": EMAIL}, "invalid"),
        ({"email": EMAIL, "password": PASSWORD, "is_staff": True}, "invalid"),
        ([1], "invalid"),
    ],
)
def test_an_account_that_cannot_be_is_refused(body, expected):
    assert code(Api().post("/users", body)) == (422, expected)
    assert not User.objects.exists()


def test_signing_in_gives_a_token_that_is_kept_as_a_digest():
    Api().post("/users", CREDENTIALS)

    token = Api().post("/tokens", CREDENTIALS).json()["token"]

    row = tokens.find(token)
    assert token not in (row.digest, row.hint)
    assert token.startswith(row.hint)
    assert Api(token).post("/carts").status_code == 201
    row.refresh_from_db()
    assert row.last_used_at is not None


@pytest.mark.parametrize(
    "body", [CREDENTIALS | {"password": "wrong"}, CREDENTIALS | {"email": "b@b.co"}]
)
def test_wrong_credentials_get_no_token(body):
    Api().post("/users", CREDENTIALS)

    assert code(Api().post("/tokens", body)) == (401, "wrong_credentials")


def test_an_inactive_account_cannot_sign_in_and_its_tokens_end():
    token = Api().post("/users", CREDENTIALS).json()["token"]
    User.objects.update(is_active=False)

    assert code(Api().post("/tokens", CREDENTIALS)) == (401, "wrong_credentials")
    assert code(Api(token).post("/carts")) == (401, "unauthorized")


def test_many_failed_sign_ins_lock_the_account_for_a_while():
    Api().post("/users", CREDENTIALS)
    wrong = CREDENTIALS | {"password": "wrong"}

    refused = [code(Api().post("/tokens", wrong)) for _ in range(12)]

    assert refused[0] == (401, "wrong_credentials")
    assert refused[-1] == (429, "too_many_requests")
    assert code(Api().post("/tokens", CREDENTIALS)) == (429, "too_many_requests")


def test_an_account_with_a_second_factor_needs_its_code():
    Api().post("/users", CREDENTIALS)
    user = User.objects.get()
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(user, secret)
    counter = int(timezone.now().timestamp()) // 30
    good = totp.format_hotp_value(totp.hotp_value(secret, counter))

    assert code(Api().post("/tokens", CREDENTIALS)) == (401, "code_needed")
    wrong = CREDENTIALS | {"code": "x"}
    assert code(Api().post("/tokens", wrong)) == (401, "code_needed")
    assert Api().post("/tokens", CREDENTIALS | {"code": good}).status_code == 200
    used = Api().post("/tokens", CREDENTIALS | {"code": good})
    assert code(used) == (401, "code_needed")


def test_codes_of_the_second_factor_cannot_be_guessed_for_long():
    Api().post("/users", CREDENTIALS)
    totp.TOTP.activate(User.objects.get(), totp.generate_totp_secret())
    wrong = CREDENTIALS | {"code": "x"}

    assert code(Api().post("/tokens", CREDENTIALS)) == (401, "code_needed")
    refused = [code(Api().post("/tokens", wrong)) for _ in range(6)]

    assert refused[0] == (401, "code_needed")
    assert refused[-1] == (429, "too_many_requests")


def test_a_token_can_be_narrowed_to_some_permissions():
    user = make_user(EMAIL, permissions=["catalog.view_stock", "catalog.change_stock"])
    user.set_password(PASSWORD)
    user.save()
    make_product(sku="POT")
    body = CREDENTIALS | {"scopes": ["catalog.view_stock", "catalog.add_product"]}

    api = Api(Api().post("/tokens", body).json()["token"])

    assert api.get("/products/POT/stock").status_code == 200
    changed = api.patch("/products/POT/stock", {"expected_version": 1, "on_hand": 1})
    assert code(changed) == (403, "forbidden")
    made = api.post("/products", {"sku": "A", "name": "A", "price": 1})
    assert code(made) == (403, "forbidden")


@pytest.mark.django_db(transaction=True)
def test_a_revoked_token_ends_at_once():
    api = as_user()
    assert api.post("/carts").status_code == 201

    assert api.delete("/tokens/current").status_code == 204

    assert code(api.post("/carts")) == (401, "unauthorized")


def test_a_guest_token_cannot_be_revoked_but_says_so():
    assert code(as_guest().delete("/tokens/current")) == (409, "not_possible")


def test_an_expired_token_is_refused_even_when_it_is_remembered():
    issued = tokens.issue(make_user(), lifetime=timedelta(seconds=60))
    assert Api(issued.text).post("/carts").status_code == 201

    with time_machine.travel(timezone.now() + timedelta(seconds=61), tick=False):
        assert code(Api(issued.text).post("/carts")) == (401, "unauthorized")


def test_guest_tokens_end_too(settings):
    token, _buyer = tokens.new_guest()
    later = timezone.now() + timedelta(days=settings.SHOP_TOKEN_DAYS, seconds=1)

    assert Api(token).post("/carts").status_code == 201
    with time_machine.travel(later, tick=False):
        assert code(Api(token).post("/carts")) == (401, "unauthorized")


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer x", "Bearer hfg_x:y:z", "Basic YTpi", "hf_x", "é"],
)
def test_what_is_no_token_is_refused_even_where_none_is_needed(header):
    assert code(Api().get("/products", Authorization=header)) == (401, "unauthorized")


def test_a_guest_token_of_another_shop_is_refused(settings):
    token, _buyer = tokens.new_guest()
    head, _colon, mac = token.rpartition(":")

    assert code(Api(f"{head}:{mac[::-1]}").get("/products")) == (401, "unauthorized")


def test_an_account_keeps_a_bounded_number_of_tokens():
    user = make_user()
    first = tokens.issue(user)
    for _ in range(tokens.MOST_PER_USER):
        tokens.issue(user)

    valid = ApiToken.objects.filter(user=user, revoked_at=None)
    assert valid.count() == tokens.MOST_PER_USER
    assert not valid.filter(pk=first.row.pk).exists()


def test_old_answers_and_tokens_are_forgotten_by_a_job():
    Api().post("/carts", key=uuid4())
    kept = tokens.issue(make_user(), lifetime=timedelta(days=1)).row

    with time_machine.travel(timezone.now() + timedelta(days=3), tick=False):
        assert jobs.forget_old() == 1
    assert ApiToken.objects.filter(pk=kept.pk).exists()
    with time_machine.travel(timezone.now() + timedelta(days=32), tick=False):
        assert jobs.forget_old() == 1
    assert not ApiToken.objects.exists()
    assert not StoredAnswer.objects.exists()
