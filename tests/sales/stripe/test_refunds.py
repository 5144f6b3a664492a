"""Money sent back through Stripe."""

import pytest
from django.utils import timezone

from catalog.models import Stock
from sales import checkout, payments
from sales.models import OrderState, Payment
from tests.sales.stripe.calls import COMPLETED, gateway, handle, post, states

pytestmark = pytest.mark.django_db


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
    checkout.follow_payments(opened.next_try_at)
    assert len(account.refunds) == 1
