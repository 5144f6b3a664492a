"""Repeats with an Idempotency-Key pass the same gates as first calls."""

import json
from uuid import uuid4

import pytest

from sales import tokens
from tests.api import Api, as_guest, as_user, code
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000])
@pytest.mark.parametrize("path", ["/users", "/orders", "/carts"])
def test_a_body_nobody_can_read_is_no_crash_with_a_key_either(path, body):
    answer = Api().post(path, body, key=uuid4())

    assert answer.status_code == 201 or code(answer) == (400, "malformed")


def test_a_huge_body_is_too_large_with_a_key_too():
    body = json.dumps({"email": "x" * 3_000_000, "password": "y"})

    assert code(Api().post("/users", body, key=uuid4())) == (413, "too_large")


def test_a_repeat_counts_as_a_call(settings, one_minute):
    settings.SHOP_API_LIMITS = {"calls": {"token": 3, "address": 100}}
    guest, key = as_guest(), uuid4()

    answers = [guest.post("/carts", key=key) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [201, 200, 200, 429]
    assert [a["RateLimit-Remaining"] for a in answers] == ["2", "1", "0", "0"]
    assert code(answers[3]) == (429, "too_many_requests")
    assert 0 < int(answers[3]["Retry-After"]) <= 60


def test_a_token_that_was_revoked_gets_no_first_answer_again(
    django_capture_on_commit_callbacks,
):
    user = make_user()
    issued = tokens.issue(user)
    key = uuid4()
    assert Api(issued.text).post("/carts", key=key).status_code == 201

    with django_capture_on_commit_callbacks(execute=True):
        tokens.revoke(issued.row)

    assert code(Api(issued.text).post("/carts", key=key)) == (401, "unauthorized")
    assert as_user(user).post("/carts", key=key).status_code == 201


def test_what_caches_may_do_is_said_of_a_repeat_too():
    guest, key = as_guest(), uuid4()
    guest.post("/carts", key=key)

    again = guest.post("/carts", key=key)

    assert "private" in again["Cache-Control"]
    assert "Authorization" in again["Vary"]
