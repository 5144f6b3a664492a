from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django_rq import get_queue

from catalog.models import Alert, Stock
from sales import checkout, counters, flash, jobs, notices, payments
from sales.models import Order, OrderState, Payment, PaymentNotice
from sales.payments import test as gateway
from tests.factories import make_loaded_item, make_order, make_product

pytestmark = pytest.mark.django_db

WEBHOOK = "/api/v1/payments/webhook/test"


@pytest.fixture
def payment():
    """A payment that has begun, of an order of three units of ten, for 29.97."""
    order = make_order(make_product(price=Decimal("9.99")), quantity=3)
    return checkout.begin_payment(order.pk)


@pytest.fixture
def flash_payment(sale_redis):
    """A payment that has begun, of one unit of a flash sale."""
    item = make_loaded_item(units=1)
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer="b:1", quantity=1)
    return checkout.begin_payment(order_id)


def page(payment):
    return checkout.payment_url(payment)


def post(client, body, headers):
    return client.post(WEBHOOK, body, content_type="application/json", headers=headers)


def handle():
    return notices.handle_due(timezone.now())


def states(payment):
    payment.refresh_from_db()
    return payment.state, Order.objects.get(pk=payment.order_id).state


# -- The test provider's page ------------------------------------------------------


def test_a_double_notification_is_stored_and_followed_once(client, payment):
    client.post(page(payment), {"outcome": "twice"})

    assert states(payment) == ("paid", OrderState.PAID)
    assert PaymentNotice.objects.count() == 1
    assert Stock.objects.get().on_hand == 7


def test_money_for_an_expired_payment_gets_units_that_are_left(client, payment):
    answer = client.post(page(payment), {"outcome": "expired"}, follow=True)
    assert states(payment) == ("declined", OrderState.CANCELLED)
    assert "The money arrives late" in answer.text

    client.post(page(payment), {"outcome": "paid"})

    assert states(payment) == ("paid", OrderState.PAID)
    assert Stock.objects.get().on_hand == 7


def test_money_for_an_expired_payment_goes_back_when_nothing_is_left(client, payment):
    client.post(page(payment), {"outcome": "expired"})
    make_order(payment.order.lines.get().product, quantity=10)

    answer = client.post(page(payment), {"outcome": "paid"}, follow=True)

    assert states(payment) == ("refunded", OrderState.CANCELLED)
    assert "Your money is on its way back" in answer.text
    assert Stock.objects.get().reserved == 10


def test_late_money_for_a_flash_unit_that_somebody_else_has_goes_back(
    client, flash_payment
):
    item_id = Order.objects.get().flash_item_id
    client.post(page(flash_payment), {"outcome": "expired"})
    flash.claim(item_id, order_id=uuid4(), buyer="b:2", quantity=1)

    client.post(page(flash_payment), {"outcome": "paid"})

    flash_payment.refresh_from_db()
    assert flash_payment.state == "refunded"
    assert counters.snapshot(item_id).held == 1
    assert counters.snapshot(item_id).paid == 0


def test_the_page_sends_its_word_to_the_address_of_real_providers(client, payment):
    client.post(page(payment), {"outcome": "paid"})

    notice = PaymentNotice.objects.get()
    assert (notice.gateway, notice.payment_id) == ("test", payment.pk)
    assert str(payment.pk) in notice.body


def test_a_notification_that_the_shop_refuses_is_an_error(payment, monkeypatch):
    monkeypatch.setattr(gateway, "sign", lambda body, now=None: "t=1,v1=0")

    with pytest.raises(RuntimeError, match="400"):
        gateway.send(payment, "paid")


# -- Stored first, then handled ----------------------------------------------------


def test_a_notification_is_handled_by_the_job_that_is_queued(
    client, payment, django_capture_on_commit_callbacks
):
    queue = get_queue("default")
    queue.empty()
    queue.connection.delete(jobs.NOTICES_CAME)

    with django_capture_on_commit_callbacks(execute=True):
        for _round in range(3):
            post(client, *gateway.notification(payment, "paid"))
    assert states(payment) == ("pending", OrderState.PAYING)
    assert len(queue) == 1
    queue.empty()
    assert jobs.handle_notices() == 3

    assert states(payment) == ("paid", OrderState.PAID)
    assert not queue.connection.exists(jobs.NOTICES_CAME)


def test_a_notification_is_stored_also_while_no_job_can_be_queued(
    client, payment, settings, django_capture_on_commit_callbacks, monkeypatch
):
    def lost(name):
        raise ConnectionError("the queue's Redis is gone")

    monkeypatch.setattr(jobs, "get_queue", lost)
    with django_capture_on_commit_callbacks(execute=True):
        answer = post(client, *gateway.notification(payment, "paid"))

    assert answer.status_code == 200
    assert handle() == 1


def test_one_bad_notification_keeps_its_error_and_stops_no_other(payment, monkeypatch):
    other = checkout.begin_payment(make_order().pk)
    for one in (payment, other):
        notices.receive("test", *gateway.notification(one, "paid"))
    hear = checkout.hear

    def fail_for_one(payment_id, said):
        if payment_id == payment.pk:
            raise ValueError("cannot be")
        return hear(payment_id, said)

    monkeypatch.setattr(checkout, "hear", fail_for_one)
    assert (handle(), handle()) == (1, 0)

    bad = PaymentNotice.objects.get(payment=payment)
    assert (bad.handled_at, bad.note) == (None, "ValueError('cannot be')")
    assert Alert.objects.get().kind == "payment"
    assert states(other) == ("paid", OrderState.PAID)
    monkeypatch.undo()
    assert handle() == 1
    assert states(payment) == ("paid", OrderState.PAID)
    bad.refresh_from_db()
    assert bad.note == ""


@pytest.mark.parametrize("words", [["paid", "declined"], ["declined", "paid"]])
def test_the_order_of_notifications_does_not_matter(payment, words):
    for word in words:
        notices.receive("test", *gateway.notification(payment, word))
    handle()

    assert states(payment) == ("paid", OrderState.PAID)
    assert Stock.objects.get().on_hand == 7


def test_a_second_shopper_is_not_paid_for_by_the_first_ones_notification(payment):
    other = checkout.begin_payment(make_order().pk)

    notices.receive("test", *gateway.notification(payment, "paid"))
    handle()

    assert states(other) == ("pending", OrderState.PAYING)


# -- Amounts -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency"), [("29.96", "USD"), ("29.97", "EUR"), ("29.98", "USD")]
)
def test_a_wrong_amount_confirms_nothing_and_is_alerted_once(payment, amount, currency):
    payment.amount, payment.currency = (
        Decimal(amount),
        currency,
    )  # as the provider has it
    for _round in range(2):
        notices.receive("test", *gateway.notification(payment, "paid"))
    handle()

    assert states(payment) == ("refunded", OrderState.CANCELLED)
    assert payment.handled_at is not None
    assert "money sent back" in payment.note
    assert payment.order.mails.get().kind == "sent_back"
    assert Alert.objects.get().text.endswith(
        f"{amount} {currency} came, not 29.97 USD."
    )
    assert Stock.objects.get().reserved == 0


@pytest.mark.parametrize("amount", ["29.971", "29.974", "29.9700001", "-29.97"])
def test_a_part_of_a_cent_is_a_wrong_amount(payment, amount):
    payment.amount = Decimal(amount)
    notices.receive("test", *gateway.notification(payment, "paid"))
    handle()

    assert states(payment) == ("refunded", OrderState.CANCELLED)


def test_a_wrong_amount_for_a_flash_order_gives_the_unit_back(flash_payment):
    item_id = Order.objects.get().flash_item_id
    flash_payment.amount += 1

    notices.receive("test", *gateway.notification(flash_payment, "paid"))
    handle()

    flash_payment.refresh_from_db()
    assert flash_payment.state == "refunded"
    assert counters.snapshot(item_id).left == 1


def test_a_wrong_amount_does_not_undo_a_payment_that_was_right(payment):
    notices.receive("test", *gateway.notification(payment, "paid"))
    payment.amount += 1
    notices.receive("test", *gateway.notification(payment, "paid"))
    handle()

    assert states(payment) == ("paid", OrderState.PAID)
    assert Alert.objects.exists()


# -- Silence and gateways ----------------------------------------------------------


def test_a_silent_test_payment_is_declined_in_the_end(payment, settings):
    wait = timedelta(seconds=settings.SHOP_PAYING_SECONDS)

    checkout.follow_payments(payment.created_at + wait - timedelta(seconds=1))
    assert states(payment) == ("pending", OrderState.PAYING)
    checkout.follow_payments(payment.created_at + wait + timedelta(seconds=1))

    assert states(payment) == ("declined", OrderState.CANCELLED)


def test_test_payments_are_closed_also_once_the_test_gateway_is_off(
    payment, settings, monkeypatch
):
    monkeypatch.setattr(payments, "GATEWAYS", {})
    wait = timedelta(seconds=settings.SHOP_PAYING_SECONDS + 1)

    checkout.follow_payments(payment.created_at + wait)

    assert states(payment) == ("declined", OrderState.CANCELLED)


def test_a_shop_without_a_gateway_says_what_to_set(monkeypatch):
    monkeypatch.setattr(payments, "GATEWAYS", {})

    with pytest.raises(ImproperlyConfigured, match="STRIPE_SECRET_KEY"):
        payments.default()
    assert not Payment.objects.exists()
