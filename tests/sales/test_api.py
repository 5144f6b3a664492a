"""/api/v1 for accounts, carts, orders and payments."""

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import time_machine
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import User
from django.core.cache import cache
from django.utils import timezone

from catalog.models import Stock
from sales import answers, carts, jobs, notices, orders, payments, tokens
from sales.models import (
    ApiToken,
    Cart,
    Order,
    OrderState,
    Payment,
    PaymentNotice,
    StoredAnswer,
)
from sales.payments import test as gateway
from tests.api import Api, as_guest, as_staff, as_user, code
from tests.factories import make_product, make_user

pytestmark = pytest.mark.django_db

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
CREDENTIALS = {"email": EMAIL, "password": PASSWORD}


@pytest.fixture(autouse=True)
def _quick_passwords_and_no_limits_from_before(settings):
    cache.clear()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def make_cart(*lines, user=None):
    """A cart with (product, quantity) lines."""
    cart = carts.create(user)
    for product, quantity in lines:
        carts.put(cart, product, quantity)
    return cart


def order_of(api, *lines, key=None):
    cart = make_cart(*lines)
    return api.post(
        "/orders", {"cart_id": str(cart.pk), "email": EMAIL}, key=key or uuid4()
    )


# -- Accounts and tokens -----------------------------------------------------------


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


# -- Carts -------------------------------------------------------------------------


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


# -- Orders ------------------------------------------------------------------------


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


# -- Repeats of other calls --------------------------------------------------------


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


# -- Payments ----------------------------------------------------------------------


@pytest.fixture
def payment():
    """A payment that has begun, of an order of three units."""
    order = order_of(Api(), (make_product(), 3)).json()["id"]
    Api().post(f"/orders/{order}/payment")
    return Payment.objects.get()


def state_of(payment):
    return Order.objects.get(pk=payment.order_id).state


def notify(payment, outcome="paid", *, body=None, signature=None):
    sent, headers = gateway.notification(payment, outcome)
    if body is not None:
        sent = json.dumps(json.loads(sent) | body).encode()
        headers = {gateway.SIGNATURE: gateway.sign(sent)}
    if signature is not None:
        headers = {gateway.SIGNATURE: signature}
    answer = Api().post("/payments/webhook/test", sent, **headers)
    notices.handle_due(timezone.now())
    return answer


def test_the_payment_url_ends_with_the_payments_id_and_is_shared(settings):
    order = order_of(Api(), (make_product(), 3)).json()["id"]

    first = Api().post(f"/orders/{order}/payment").json()
    second = Api().post(f"/orders/{order}/payment").json()

    assert first == second
    assert first["payment_url"].startswith(settings.SITE_URL)
    assert UUID(first["payment_url"].rsplit("/", 1)[1]) == Payment.objects.get().pk
    assert (first["amount"], first["state"]) == ("29.97", "pending")
    assert Api().get(f"/orders/{order}").json()["state"] == "paying"


@pytest.mark.parametrize(
    ("outcome", "state", "reserved", "on_hand"),
    [("paid", "paid", 0, 7), ("declined", "cancelled", 0, 10)],
)
def test_the_test_provider_decides_a_payment(
    payment, outcome, state, reserved, on_hand
):
    said = Api().post(f"/payments/test/{payment.pk}", {"outcome": outcome})

    assert said.json()["state"] == outcome
    assert Api().get(f"/orders/{payment.order_id}").json()["state"] == state
    stock = Stock.objects.get()
    assert (stock.reserved, stock.on_hand) == (reserved, on_hand)
    assert PaymentNotice.objects.get().handled_at is not None


def test_the_test_provider_takes_two_words_only(payment):
    answer = Api().post(f"/payments/test/{payment.pk}", {"outcome": "maybe"})

    assert code(answer) == (422, "invalid")


def test_the_test_provider_knows_only_its_payments(payment, monkeypatch):
    unknown = Api().post(f"/payments/test/{uuid4()}", {"outcome": "paid"})
    assert code(unknown) == (404, "not_found")
    monkeypatch.delitem(payments.GATEWAYS, "test")
    off = Api().post(f"/payments/test/{payment.pk}", {"outcome": "paid"})
    assert code(off) == (404, "not_found")
    assert state_of(payment) == OrderState.PAYING


def test_a_notification_that_comes_twice_counts_once(payment):
    sent, headers = gateway.notification(payment, "paid")

    answers_ = [
        Api().post("/payments/webhook/test", sent, **headers).json() for _ in range(2)
    ]

    assert [one["repeated"] for one in answers_] == [False, True]
    assert notices.handle_due(timezone.now()) == 1
    assert state_of(payment) == OrderState.PAID
    assert Stock.objects.get().on_hand == 7


def test_declined_after_paid_changes_nothing(payment):
    notify(payment, "paid")
    notify(payment, "declined")

    assert state_of(payment) == OrderState.PAID


def test_money_after_the_end_of_the_hold_gets_units_or_goes_back(payment):
    notify(payment, "declined")
    Stock.objects.update(on_hand=2)

    notify(payment, "paid")

    payment.refresh_from_db()
    assert (state_of(payment), payment.state) == (OrderState.CANCELLED, "refunded")
    assert Stock.objects.get().on_hand == 2


@pytest.mark.parametrize(
    ("wrong", "state"),
    [
        ({"amount": "0.01"}, OrderState.CANCELLED),
        ({"currency": "IDR"}, OrderState.CANCELLED),
        ({"payment_id": str(uuid4())}, OrderState.PAYING),
    ],
)
def test_a_notification_that_does_not_fit_the_payment_is_kept_and_confirms_nothing(
    payment, wrong, state
):
    answer = notify(payment, body=wrong)

    assert answer.status_code == 200
    assert state_of(payment) == state
    notice = PaymentNotice.objects.get()
    assert notice.note
    assert notice.handled_at is not None


@pytest.mark.parametrize(
    "signature", ["", "x", "t=1,v1=0", f"t={'9' * 30},v1=0", "t=-1,v1="]
)
def test_a_notification_that_is_not_signed_is_refused(payment, signature):
    assert code(notify(payment, signature=signature)) == (400, "bad_signature")
    assert not PaymentNotice.objects.exists()


def test_an_old_signature_is_refused(payment):
    past = timezone.now() - timedelta(seconds=gateway.TOLERANCE_SECONDS + 1)
    sent, headers = gateway.notification(payment, "paid", now=past)

    answer = Api().post("/payments/webhook/test", sent, **headers)

    assert code(answer) == (400, "bad_signature")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"id": 1}', b"\xff", b'{"id":1,"payment_id":2}']
)
def test_a_signed_notification_without_sense_is_refused(body):
    headers = {gateway.SIGNATURE: gateway.sign(body)}

    answer = Api().post("/payments/webhook/test", body, **headers)

    assert code(answer) == (400, "malformed")


@pytest.mark.parametrize("amount", ["NaN", "1E+400", "x"])
def test_an_amount_that_is_no_number_is_refused(payment, amount):
    assert code(notify(payment, body={"amount": amount})) == (400, "malformed")


def test_a_provider_the_shop_does_not_use_is_not_found():
    assert code(Api().post("/payments/webhook/acme", {})) == (404, "not_found")


def test_what_a_crash_left_is_handled_later(payment):
    sent, headers = gateway.notification(payment, "paid")
    notice = payments.GATEWAYS["test"].read(sent, headers)
    PaymentNotice.objects.create(
        gateway="test",
        event_id=notice.event_id,
        payment=payment,
        outcome="paid",
        amount=payment.amount,
        currency=payment.currency,
    )

    assert notices.handle_due(timezone.now()) == 1
    assert notices.handle_due(timezone.now()) == 0
    assert state_of(payment) == OrderState.PAID
