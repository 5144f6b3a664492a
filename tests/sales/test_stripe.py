import json
import time
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from catalog.models import Alert, Stock
from sales import checkout, notices, payments
from sales.models import Order, OrderState, Payment, PaymentNotice
from sales.payments.notice import Refused, Unreachable
from sales.payments.stripe import StripeGateway, major, minor
from tests import stripe_server
from tests.factories import make_order, make_product

pytestmark = pytest.mark.django_db

WEBHOOK = "/api/v1/payments/webhook/stripe"
COMPLETED = "checkout.session.completed"


@pytest.fixture
def account(monkeypatch):
    """Stripe, with this shop's account, as the gateway of new payments."""
    with stripe_server.running() as account:
        monkeypatch.setattr(payments, "GATEWAYS", {"stripe": gateway(account.url)})
        yield account


@pytest.fixture
def payment(account):
    """A payment that has begun, of an order of three units for 29.97."""
    order = make_order(make_product(price=Decimal("9.99")), quantity=3)
    return checkout.begin_payment(order.pk)


@pytest.fixture
def opened(payment):
    """The same with its page at Stripe opened."""
    checkout.open_page(payment)
    payment.refresh_from_db()
    return payment


def gateway(url, **options):
    options = {"webhook_secret": stripe_server.WEBHOOK_SECRET} | options
    return StripeGateway(stripe_server.KEY, api_base=url, **options)


def post(client, event):
    body, headers = event
    return client.post(
        WEBHOOK, body, content_type="application/json", headers=headers
    ).status_code


def handle():
    return notices.handle_due(timezone.now())


def states(payment):
    payment.refresh_from_db()
    return payment.state, Order.objects.get(pk=payment.order_id).state


def silence(payment, settings):
    """Let the time in which a payment may be silent pass; return the time after."""
    return payment.created_at + timedelta(seconds=settings.SHOP_PAYING_SECONDS + 1)


# -- Amounts -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "counted"),
    [
        ("29.97", "USD", 2997),
        ("150000", "IDR", 15000000),
        ("1200", "JPY", 1200),
        ("1200", "jpy", 1200),
        ("5000.00", "ISK", 500000),
        ("1.25", "KWD", 1250),
        ("0", "EUR", 0),
    ],
)
def test_amounts_are_counted_as_stripe_counts_them(amount, currency, counted):
    assert minor(Decimal(amount), currency) == counted
    assert major(counted, currency) == Decimal(amount)


@pytest.mark.parametrize("currency", ["JPY", "KRW", "ISK", "UGX"])
def test_parts_that_nobody_can_pay_are_refused(currency):
    with pytest.raises(Refused):
        minor(Decimal("9.99"), currency)


# -- The way there -----------------------------------------------------------------


def test_paying_leads_to_a_page_at_stripe_over_the_exact_amount(
    client, payment, account, settings
):
    path = checkout.payment_url(payment)

    assert path.rstrip("/").endswith(str(payment.pk))
    answer = client.get(path)
    session = account.session()
    assert answer["Location"] == session["url"]
    assert (session["amount_total"], session["currency"]) == (2997, "usd")
    assert session["client_reference_id"] == str(payment.pk)
    assert session["customer_email"] == payment.order.email
    assert session["success_url"] == settings.SITE_URL + reverse(
        "sales:payment-return", args=[payment.pk]
    )
    assert 1800 < session["expires_at"] - time.time() < 86400
    payment.refresh_from_db()
    assert payment.reference == session["id"]


def test_two_clicks_open_one_page(client, payment, account):
    first, second = (client.get(checkout.payment_url(payment)) for _ in range(2))

    assert first["Location"] == second["Location"]
    assert len(account.sessions) == 1


def test_a_page_whose_address_was_lost_is_found_again(payment, account):
    with translation.override("id"):
        checkout.open_page(payment)
    Payment.objects.update(
        reference="opening"
    )  # as a crash before the answer leaves it

    checkout.open_page(payment)

    assert len(account.sessions) == 1


def test_a_shopper_is_sent_back_while_stripe_does_not_answer(client, payment, account):
    payments.GATEWAYS["stripe"] = gateway("http://127.0.0.1:9")

    answer = client.get(checkout.payment_url(payment), follow=True)

    assert answer.redirect_chain[-1][0] == payment.order.get_absolute_url()
    assert "try again now" in answer.text
    assert states(payment) == ("pending", OrderState.PAYING)


def test_a_payment_that_stripe_refuses_says_so(client, account):
    order = make_order(make_product(price=Decimal("0.10")))
    payment = checkout.begin_payment(order.pk)

    answer = client.get(checkout.payment_url(payment), follow=True)

    assert "does not take this payment" in answer.text


def test_an_ended_payment_leads_to_its_order(client, opened, account):
    checkout.finish(opened.pk, "paid")

    answer = client.get(checkout.payment_url(opened))

    assert answer["Location"] == opened.order.get_absolute_url()


# -- Notifications -----------------------------------------------------------------


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


# -- Before and without a notification ---------------------------------------------


def test_the_shopper_who_is_back_first_sees_the_order_paid(client, opened, account):
    account.pay()

    answer = client.get(reverse("sales:payment-return", args=[opened.pk]))

    assert answer["Location"] == opened.order.get_absolute_url()
    assert states(opened) == ("paid", OrderState.PAID)
    post(client, account.event(COMPLETED))
    handle()
    assert Stock.objects.get().on_hand == 7


def test_the_shopper_who_is_back_without_paying_may_still_pay(client, opened, account):
    client.get(reverse("sales:payment-return", args=[opened.pk]))

    assert account.session()["status"] == "open"
    assert states(opened) == ("pending", OrderState.PAYING)


def test_a_silent_payment_is_closed_at_stripe_before_its_units_go_back(
    opened, account, settings
):
    checkout.follow_payments(silence(opened, settings))

    assert account.session()["status"] == "expired"
    assert states(opened) == ("declined", OrderState.CANCELLED)


def test_a_silent_payment_that_was_paid_is_paid(opened, account, settings):
    account.pay()

    checkout.follow_payments(silence(opened, settings))

    assert states(opened) == ("paid", OrderState.PAID)


def test_a_silent_payment_with_money_on_its_way_waits(opened, account, settings):
    session = account.pay(status="unpaid")
    checkout.follow_payments(silence(opened, settings))
    assert states(opened) == ("pending", OrderState.PAYING)

    account.intents[session["payment_intent"]]["status"] = "requires_payment_method"
    checkout.follow_payments(silence(opened, settings))

    assert states(opened) == ("declined", OrderState.CANCELLED)


def test_a_payment_whose_page_was_never_opened_asks_nobody(payment, account, settings):
    checkout.follow_payments(silence(payment, settings))

    assert states(payment) == ("declined", OrderState.CANCELLED)
    assert account.calls == []


def test_a_silent_payment_whose_page_was_lost_is_closed_at_stripe(
    opened, account, settings
):
    Payment.objects.update(reference="opening")

    checkout.follow_payments(silence(opened, settings))

    assert account.session()["status"] == "expired"
    assert states(opened) == ("declined", OrderState.CANCELLED)


def test_a_silent_payment_waits_while_stripe_does_not_answer(opened, account, settings):
    payments.GATEWAYS["stripe"] = gateway("http://127.0.0.1:9")

    checkout.follow_payments(silence(opened, settings))

    assert states(opened) == ("pending", OrderState.PAYING)


def test_a_payment_of_a_gateway_that_is_gone_waits(opened, settings):
    payments.GATEWAYS.clear()

    with pytest.raises(Unreachable):
        payments.gateway_of(opened)
    checkout.follow_payments(silence(opened, settings))
    assert states(opened) == ("pending", OrderState.PAYING)


# -- Refunds -----------------------------------------------------------------------


def test_a_refunded_order_sends_the_money_back_once(opened, account):
    account.pay()
    checkout.ask(opened)

    checkout.refund(opened.order_id, restock=True)
    Payment.objects.update(handled_at=None)  # as a crash after the refund leaves it
    account.answers.clear()  # and Stripe forgets keys after a day
    checkout.follow_payments(timezone.now())

    assert states(opened) == ("refunded", OrderState.REFUNDED)
    assert opened.handled_at is not None
    assert len(account.refunds) == 1
    refunds = [form for _m, path, form in account.calls if path == "/v1/refunds"]
    assert len(refunds) == 2


def test_money_that_comes_too_late_goes_back(client, opened, account):
    account.pay()
    checkout.finish(opened.pk, "declined")
    Stock.objects.update(on_hand=2)

    post(client, account.event(COMPLETED))
    handle()

    assert states(opened) == ("refunded", OrderState.CANCELLED)
    assert len(account.refunds) == 1


def test_money_goes_back_later_when_stripe_does_not_answer(opened, account):
    account.pay()
    checkout.ask(opened)
    working = payments.GATEWAYS["stripe"]
    payments.GATEWAYS["stripe"] = gateway("http://127.0.0.1:9")

    checkout.refund(opened.order_id, restock=True)
    assert states(opened) == ("refunded", OrderState.REFUNDED)
    assert (account.refunds, opened.handled_at) == ({}, None)

    payments.GATEWAYS["stripe"] = working
    checkout.follow_payments(timezone.now())
    assert len(account.refunds) == 1
