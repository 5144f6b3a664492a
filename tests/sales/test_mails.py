"""Mails about orders: lined up with the change, sent once, and still true."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone, translation

from catalog import mailing
from sales import checkout, flash, jobs, mails, orders, sync
from sales.models import Order, OrderMail
from tests.factories import make_loaded_item, make_order, make_product

pytestmark = pytest.mark.django_db
CONTACT = orders.Contact(email="ann@shop.test", full_name="Ann", address="Quay 1")


def sent(now=None):
    """The mails of a tick: address, subject."""
    mail.outbox.clear()
    mails.send_due(now or timezone.now())
    return [(message.to[0], message.subject) for message in mail.outbox]


def paid_order(**fields):
    order = make_order(**fields)
    checkout.finish(checkout.begin_payment(order.pk).pk, "paid")
    order.refresh_from_db()
    return order


def flash_order(item, contact=CONTACT):
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=f"g:{order_id}", quantity=1)
    sync.drain(item.pk)
    if contact:
        checkout.set_contact(order_id, contact)
    return Order.objects.get(pk=order_id)


def test_a_paid_order_is_confirmed_once():
    order = paid_order(email="ann@shop.test")

    first, again = sent(), sent()

    assert first == [("ann@shop.test", f"Order {order.number} is paid")]
    assert again == []


def test_the_mail_leads_to_the_order_and_lists_the_goods(settings):
    settings.SITE_URL = "https://shop.test"
    product = make_product("Pots & pans")
    order = paid_order(product=product, quantity=2)

    sent()

    (message,) = mail.outbox
    page, mimetype = message.alternatives[0]
    assert f"https://shop.test/orders/{order.pk}/" in message.body
    assert "2 x Pots & pans" in message.body
    assert mimetype == "text/html"
    assert f'href="https://shop.test/orders/{order.pk}/"' in page
    assert "Pots &amp; pans" in page


def test_the_mail_is_in_the_language_of_the_order():
    with translation.override("id"):
        paid_order()

    ((_, subject),) = sent()

    assert "sudah dibayar" in subject


def test_an_ended_hold_is_told():
    order = make_order()
    orders.expire_due(order.expires_at)

    assert sent() == [(order.email, f"Order {order.number}: the hold has ended")]


def test_a_refund_is_told_instead_of_a_confirmation_that_is_old():
    order = paid_order()
    checkout.refund(order.pk, restock=False)

    assert sent() == [(order.email, f"Order {order.number} is refunded")]


def test_money_that_came_too_late_is_told():
    product = make_product(on_hand=1)
    order = make_order(product)
    payment = checkout.begin_payment(order.pk)
    checkout.finish(payment.pk, "declined")
    make_order(product, email="quick@shop.test")
    checkout.finish(payment.pk, "paid")

    ((address, subject),) = sent()

    assert address == order.email
    assert subject == f"Order {order.number}: your money is on its way back"
    assert "units are gone" in mail.outbox[0].body


def test_an_end_that_is_no_longer_true_is_not_told():
    order = make_order()
    orders.expire_due(order.expires_at)
    orders.take_for_payment(order.pk)

    assert sent() == []
    assert not OrderMail.objects.exists()


def test_nobody_is_mailed_without_an_address():
    order = make_order(email="")
    orders.expire_due(order.expires_at)

    assert not OrderMail.objects.exists()


def test_a_change_that_is_rolled_back_is_not_told():
    order = make_order()

    with transaction.atomic():
        orders.expire_due(order.expires_at)
        transaction.set_rollback(True)

    assert sent() == []


@pytest.mark.redis
def test_a_paid_flash_order_is_told_by_the_drain(sale_redis):
    item = make_loaded_item(units=5)
    order = flash_order(item)
    checkout.finish(checkout.begin_payment(order.pk).pk, "paid")

    assert sent() == []
    sync.drain(item.pk)
    assert sent() == [("ann@shop.test", f"Order {order.number} is paid")]


@pytest.mark.redis
def test_an_ended_flash_hold_is_told_to_those_with_an_address(sale_redis, settings):
    settings.SHOP_FLASH_HOLD_SECONDS = 0
    item = make_loaded_item(units=5)
    order, _nameless = flash_order(item), flash_order(item, contact=None)

    checkout.expire_due(timezone.now())
    sync.drain(item.pk)

    assert sent() == [("ann@shop.test", f"Order {order.number}: the hold has ended")]


class Broken:
    """A mail server that takes nothing for one address."""

    def __init__(self, monkeypatch, bad):
        self.bad = bad
        self.is_closed = False
        monkeypatch.setattr(mailing, "get_connection", lambda: self)

    def send_messages(self, messages):
        if messages[0].to == [self.bad]:
            raise OSError("no such mailbox")
        mail.outbox.extend(messages)
        return len(messages)

    def close(self):
        self.is_closed = True


def test_one_bad_address_stops_no_other_and_is_tried_again(monkeypatch):
    paid_order(email="bad@shop.test")
    paid_order(email="good@shop.test")
    server = Broken(monkeypatch, "bad@shop.test")
    now = timezone.now()

    assert [to for to, _ in sent(now)] == ["good@shop.test"]
    assert sent(now + timedelta(seconds=59)) == []
    server.bad = ""
    assert [to for to, _ in sent(now + timedelta(seconds=60))] == ["bad@shop.test"]


def test_an_address_that_never_works_is_given_up(monkeypatch):
    paid_order(email="bad@shop.test")
    Broken(monkeypatch, "bad@shop.test")
    now = timezone.now()

    for day in range(10):
        mails.send_due(now + timedelta(days=2 * day))

    row = OrderMail.objects.get()
    assert (row.next_try_at, row.sent_at) == (None, None)
    assert row.attempts == len(mailing.WAITS) + 1
    assert "no such mailbox" in row.error


def test_a_mail_that_is_sent_twice_has_one_id():
    paid_order()
    sent()
    (first,) = mail.outbox
    OrderMail.objects.update(next_try_at=timezone.now(), sent_at=None)  # a crash

    sent()

    (again,) = mail.outbox
    assert again.extra_headers["Message-ID"] == first.extra_headers["Message-ID"]


def test_the_job_sends():
    paid_order()

    assert (jobs.send_mails(), jobs.send_mails()) == (1, 0)


def test_the_country_of_an_address_is_named_in_the_shoppers_language():
    address = orders.Contact(
        "ann@shop.test", "Ann", "Quay 1", "1234", "Port", country="DE"
    )
    for language in ("en", "id"):
        line = (make_product().pk, 1)
        with translation.override(language):
            order = orders.place(uuid4(), [line], contact=address)
        checkout.finish(checkout.begin_payment(order.pk).pk, "paid")

    sent()

    english, indonesian = mail.outbox
    assert "1234 Port, Germany" in english.body
    assert "1234 Port, Jerman" in indonesian.body
