"""What Stripe tells the shop, true or forged."""

import json
import time
from decimal import Decimal
from uuid import uuid4

import pytest

from catalog.models import Alert, Stock
from sales.models import OrderState, PaymentNotice
from tests.sales.stripe.calls import COMPLETED, handle, post, states

pytestmark = pytest.mark.django_db


def test_a_paid_session_makes_the_order_paid(client, opened, account):
    account.pay()

    assert post(client, account.event(COMPLETED)) == 200
    assert states(opened) == ("pending", OrderState.PAYING)  # stored, not yet handled
    assert handle() == 1
    assert states(opened) == ("paid", OrderState.PAID)
    notice = PaymentNotice.objects.get()
    assert json.loads(notice.body)["id"] == notice.event_id == "evt_1"
    assert (notice.amount, notice.currency) == (Decimal("29.97"), "USD")


def test_an_expired_session_gives_the_units_back(client, opened, account):
    account.lapse()

    post(client, account.event("checkout.session.expired"))
    handle()

    assert states(opened) == ("declined", OrderState.CANCELLED)
    assert Stock.objects.get().reserved == 0


def test_money_on_its_way_keeps_the_units_until_it_comes(client, opened, account):
    account.pay(status="unpaid")
    post(client, account.event(COMPLETED))
    handle()
    assert states(opened) == ("pending", OrderState.PAYING)

    account.session()["payment_status"] = "paid"
    post(client, account.event("checkout.session.async_payment_succeeded", number=2))
    handle()

    assert states(opened) == ("paid", OrderState.PAID)


def test_money_that_never_came_gives_the_units_back(client, opened, account):
    account.pay(status="unpaid")

    post(client, account.event("checkout.session.async_payment_failed"))
    handle()

    assert states(opened) == ("declined", OrderState.CANCELLED)


@pytest.mark.parametrize(
    "forged",
    [
        {"secret": "whsec_other"},
        {"at": int(time.time()) - 301},
    ],
)
def test_a_wrong_or_old_signature_is_refused_and_nothing_stored(
    client, opened, account, forged
):
    account.pay()

    assert post(client, account.event(COMPLETED, **forged)) == 400
    assert not PaymentNotice.objects.exists()


@pytest.mark.parametrize(
    "headers", [{}, {"Stripe-Signature": ""}, {"Stripe-Signature": "t=x,v1="}]
)
def test_a_notification_without_a_signature_is_refused(client, account, headers):
    assert post(client, (b"{}", headers)) == 400


def test_a_changed_body_is_refused(client, opened, account):
    account.pay()
    body, headers = account.event(COMPLETED)

    assert post(client, (body.replace(b"2997", b"2998"), headers)) == 400


@pytest.mark.parametrize("session", [{"id": "cs_1"}, {"object": "x", "id": 1}])
def test_a_signed_event_without_sense_is_refused(client, account, session):
    assert post(client, account.event(COMPLETED, session=session)) == 400


def test_sessions_of_somebody_else_are_of_no_concern(client, opened, account):
    theirs = account.pay() | {"metadata": {}}

    assert post(client, account.event(COMPLETED, session=theirs)) == 200
    handle()

    assert states(opened) == ("pending", OrderState.PAYING)
    assert not Alert.objects.exists()


def test_a_payment_nobody_knows_is_for_a_person(client, opened, account):
    strange = str(uuid4())
    theirs = account.pay() | {
        "client_reference_id": strange,
        "metadata": {"payment_id": strange},
    }

    post(client, account.event(COMPLETED, session=theirs))
    handle()

    assert PaymentNotice.objects.get().note == "no such payment"
    assert Alert.objects.get().kind == "payment"
    assert account.refunds == {}


@pytest.mark.parametrize("wrong", [{"amount_total": 1}, {"currency": "idr"}])
def test_money_in_a_wrong_amount_confirms_nothing_and_goes_back(
    client, opened, account, wrong
):
    session = account.pay()
    session |= wrong

    for number in (1, 2):
        post(client, account.event(COMPLETED, number=number))
    handle()

    assert states(opened) == ("refunded", OrderState.CANCELLED)
    assert opened.handled_at is not None
    assert list(account.refunds) == [session["payment_intent"]]
    assert Alert.objects.get().kind == "payment"
    assert Stock.objects.get().on_hand == 10
