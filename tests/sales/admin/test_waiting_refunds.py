"""What the order's page says of a refund that waits, and its button."""

from datetime import UTC, datetime

import pytest

from sales import checkout, payments
from sales.models import Payment
from tests.factories import make_order, make_staff
from tests.picky_provider import PickyProvider
from tests.sales.admin.pages import order_page

pytestmark = pytest.mark.django_db

TRIED_AT = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)


@pytest.fixture
def provider(monkeypatch):
    picky = PickyProvider()
    monkeypatch.setattr(payments, "GATEWAYS", {picky.name: picky})
    return picky


@pytest.fixture
def order(provider):
    """An order whose refund was refused, and will be tried at a known time."""
    order = make_order(quantity=2)
    checkout.finish(checkout.begin_payment(order.pk).pk, "paid")
    checkout.refund(order.pk, restock=True)
    Payment.objects.update(next_try_at=TRIED_AT)
    return order


def words(client, order):
    """The words of the order's page, and whether it has the button."""
    html = client.get(order_page(order)).content.decode()
    return " ".join(html.split()), order_page(order, "refund_now") in html


def test_the_page_says_why_a_refund_waits_and_when_it_is_tried_next(
    admin_client, order
):
    page, has_button = words(admin_client, order)

    assert (
        "The refund of $19.98 waits. There is not enough money. It is tried again by "
        "itself at 2031-05-06 07:08 UTC. So far 1 try has failed." in page
    )
    assert "<b>Refund waits</b>" in page
    assert has_button


def test_what_is_refunded_at_once_has_no_such_sentence_and_no_button(
    admin_client, provider
):
    provider.reason = ""
    order = make_order()
    checkout.finish(checkout.begin_payment(order.pk).pk, "paid")
    checkout.refund(order.pk, restock=True)

    page, has_button = words(admin_client, order)

    assert "The refund of" not in page
    assert "<b>Refunded</b>" in page
    assert not has_button


def test_the_button_sends_the_money_back_at_once(admin_client, provider, order):
    provider.reason = ""

    answer = admin_client.post(order_page(order, "refund_now"), follow=True)

    assert "is on its way back" in answer.text
    payment = Payment.objects.get()
    assert (bool(payment.handled_at), payment.next_try_at) == (True, None)


def test_the_button_says_why_it_waits_once_more(admin_client, provider, order):
    provider.reason = "The bank says no."

    answer = admin_client.post(order_page(order, "refund_now"))

    assert "The bank says no." in answer.text
    assert Payment.objects.get().attempts == 2


def test_a_refund_that_waits_is_not_said_to_be_done(admin_client, provider):
    order = make_order()
    checkout.finish(checkout.begin_payment(order.pk).pk, "paid")

    answer = admin_client.post(
        order_page(order, "refund"), {"reason": "broken"}, follow=True
    )

    assert "its money is to follow" in answer.text


def test_who_may_only_look_has_no_button(client, provider, order):
    client.force_login(make_staff("viewer"))

    page, has_button = words(client, order)

    assert "The refund of" in page
    assert not has_button
    assert client.post(order_page(order, "refund_now")).status_code == 403
