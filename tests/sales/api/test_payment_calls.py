"""/api/v1 for payments, and what a provider sends."""

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from catalog.models import Stock
from sales import notices, payments
from sales.models import Order, OrderState, Payment, PaymentNotice
from sales.payments import test as gateway
from tests.api import Api, code
from tests.factories import make_product
from tests.sales.api.calls import order_of

pytestmark = pytest.mark.django_db


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
