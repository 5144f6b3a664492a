"""The way to the page at Stripe."""

import time
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import translation

from sales import checkout, payments
from sales.models import OrderState, Payment
from tests.factories import make_order, make_product
from tests.sales.stripe.calls import gateway, states

pytestmark = pytest.mark.django_db


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
