"""What the shop learns before a notification comes, or without one."""

import pytest
from django.urls import reverse

from catalog.models import Stock
from sales import checkout, payments
from sales.models import OrderState, Payment
from sales.payments.notice import Unreachable
from tests.sales.stripe.calls import COMPLETED, gateway, handle, post, silence, states

pytestmark = pytest.mark.django_db


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
