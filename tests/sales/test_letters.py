"""Mails sent again, and the lists of mails and payment notices in the dashboard."""

from datetime import timedelta

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from sales import checkout, mails, notices, orders
from sales.models import Order, OrderMail, PaymentNotice
from tests.factories import make_order, make_staff
from tests.threads import run_at_once

pytestmark = pytest.mark.django_db


def paid_order(**fields):
    order = make_order(**fields)
    checkout.finish(checkout.begin_payment(order.pk).pk, "paid")
    order.refresh_from_db()
    mails.send_due(timezone.now())
    mail.outbox.clear()
    return order


def resend_page(order):
    return reverse("admin:sales_order_resend", args=[order.pk])


def make_notice(**fields):
    fields.setdefault("event_id", f"evt-{PaymentNotice.objects.count()}")
    return PaymentNotice.objects.create(gateway="test", **fields)


def sent():
    mail.outbox.clear()
    mails.send_due(timezone.now())
    return [message.subject for message in mail.outbox]


# -- Sending a mail again ---------------------------------------------------------


def test_resent_mail_goes_out_and_stands_in_the_timeline(admin_client, admin_user):
    order = paid_order(email="ann@shop.test")

    response = admin_client.post(
        resend_page(order), {"latest": orders.latest_mail(order)}, follow=True
    )

    assert "ann@shop.test goes out" in response.content.decode()
    assert sent() == [f"Order {order.number} is paid"]
    event = order.events.last()
    assert event.note == "“Confirmation” mailed again to ann@shop.test"
    assert event.actor == admin_user


def test_dialog_asks_first_and_sends_nothing(admin_client):
    order = paid_order()

    html = admin_client.get(resend_page(order)).content.decode()

    assert "once more" in html
    assert f'name="latest" value="{orders.latest_mail(order)}"' in html
    assert sent() == []


def test_two_clicks_are_one_mail_even_when_the_first_is_sent_already(admin_client):
    order = paid_order()
    clicked = {"latest": orders.latest_mail(order)}

    admin_client.post(resend_page(order), clicked)
    first = sent()
    response = admin_client.post(resend_page(order), clicked, follow=True)

    assert len(first) == 1
    assert "on its way already" in response.content.decode()
    assert sent() == []


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_are_one_mail():
    order = paid_order()
    after = orders.latest_mail(order)

    done = run_at_once(lambda _: orders.mail_again(order.pk, after=after), range(4))

    assert sorted(done) == [False, False, False, True]
    assert len(sent()) == 1


def test_order_without_address_or_news_gets_no_mail(admin_client):
    held, silent = make_order(), paid_order()
    type(silent).objects.filter(pk=silent.pk).update(email="")

    for order, why in ((held, "no mail about"), (silent, "no e-mail address")):
        response = admin_client.post(resend_page(order), {"latest": 0})
        assert response.status_code == 422
        assert why in response.content.decode()

    assert sent() == []


@pytest.mark.parametrize(
    ("role", "status"), [("viewer", 403), ("stock editor", 403), ("sale manager", 302)]
)
def test_only_who_handles_orders_sends_mails_again(client, role, status):
    order = paid_order()
    client.force_login(make_staff(role))
    mail_row = OrderMail.objects.get()
    OrderMail.objects.update(sent_at=None, next_try_at=None)

    data = {"latest": orders.latest_mail(order)}
    assert client.post(resend_page(order), data).status_code == status
    again = reverse("admin:sales_ordermail_try_again", args=[mail_row.pk])
    assert client.post(again).status_code == status
    handle = reverse("admin:sales_paymentnotice_handle_now", args=[make_notice().pk])
    assert client.post(handle).status_code == status


# -- The list of mails ------------------------------------------------------------


def test_mail_given_up_is_tried_again(admin_client):
    order = paid_order()
    OrderMail.objects.update(sent_at=None, next_try_at=None, attempts=7, error="busy")
    (row,) = OrderMail.objects.all()

    page = admin_client.get(reverse("admin:sales_ordermail_change", args=[row.pk]))
    assert "Try again" in page.content.decode()
    admin_client.post(reverse("admin:sales_ordermail_try_again", args=[row.pk]))

    assert sent() == [f"Order {order.number} is paid"]


def test_mail_that_is_sent_is_not_sent_by_trying_again(admin_client):
    paid_order()
    (row,) = OrderMail.objects.all()

    page = admin_client.get(reverse("admin:sales_ordermail_change", args=[row.pk]))
    response = admin_client.post(
        reverse("admin:sales_ordermail_try_again", args=[row.pk])
    )

    assert "Try again" not in page.content.decode()
    assert response.status_code == 422
    assert sent() == []


def test_many_mails_are_tried_again_at_once(admin_client):
    for _ in range(3):
        paid_order()
    sent_one, *others = OrderMail.objects.all()
    OrderMail.objects.exclude(pk=sent_one.pk).update(sent_at=None, next_try_at=None)
    data = {
        "action": "try_all_again",
        "_selected_action": [row.pk for row in (sent_one, *others)],
    }

    url = reverse("admin:sales_ordermail_changelist")
    response = admin_client.post(url, data, follow=True)

    assert "2 mails are back in line" in response.content.decode()
    assert len(sent()) == 2


@pytest.mark.parametrize(
    ("state", "count"), [("sent", 1), ("waiting", 1), ("given_up", 1), ("", 3)]
)
def test_mails_are_found_by_what_became_of_them(admin_client, state, count):
    for _ in range(3):
        paid_order()
    one, two, _three = OrderMail.objects.all()
    OrderMail.objects.filter(pk=one.pk).update(sent_at=None, next_try_at=None)
    later = timezone.now() + timedelta(hours=1)
    OrderMail.objects.filter(pk=two.pk).update(sent_at=None, next_try_at=later)

    url = reverse("admin:sales_ordermail_changelist")
    response = admin_client.get(url, {"state": state} if state else {})

    assert len(response.context["cl"].result_list) == count


def test_mails_are_found_by_the_number_of_their_order_and_by_address(admin_client):
    order, other = paid_order(), paid_order()
    Order.objects.filter(pk=other.pk).update(email="tomas@shop.test")

    def found(text):
        url = reverse("admin:sales_ordermail_changelist")
        rows = admin_client.get(url, {"q": text}).context["cl"].result_list
        return {mail.order_id for mail in rows}

    assert found(order.number.lower()) == {order.pk}
    assert found("TOMAS@") == {other.pk}
    assert found("") == {order.pk, other.pk}
    assert found("nobody@") == set()


def test_mails_and_notices_cannot_be_written_by_hand(admin_client):
    paid_order()
    rows = {
        "ordermail": OrderMail.objects.get(),
        "paymentnotice": make_notice(handled_at=timezone.now()),
    }

    for name, row in rows.items():
        add = reverse(f"admin:sales_{name}_add")
        change = reverse(f"admin:sales_{name}_change", args=[row.pk])
        delete = reverse(f"admin:sales_{name}_delete", args=[row.pk])
        assert admin_client.get(add).status_code == 403
        assert admin_client.post(change, {"note": "x"}).status_code == 403
        assert admin_client.post(delete, {"post": "yes"}).status_code == 403
        assert admin_client.get(change).status_code == 200


# -- Payment notices --------------------------------------------------------------


def test_notice_that_failed_is_handled_by_hand(admin_client):
    order = make_order()
    payment = checkout.begin_payment(order.pk)
    notice = make_notice(
        payment=payment,
        outcome="paid",
        amount=payment.amount,
        currency=payment.currency,
        note="it failed once",
    )

    admin_client.post(reverse("admin:sales_paymentnotice_handle_now", args=[notice.pk]))

    order.refresh_from_db()
    notice.refresh_from_db()
    assert order.state == "paid"
    assert notice.handled_at
    assert notice.note == ""


def test_notice_that_fails_again_says_why(admin_client, monkeypatch):
    notice = make_notice(outcome="paid")

    def broken(row):
        raise RuntimeError("no way")

    monkeypatch.setattr(notices, "_hear", broken)
    url = reverse("admin:sales_paymentnotice_handle_now", args=[notice.pk])
    response = admin_client.post(url)

    assert response.status_code == 422
    assert "no way" in response.content.decode()


@pytest.mark.parametrize(
    ("state", "count"), [("open", 1), ("doubt", 1), ("done", 2), ("", 4)]
)
def test_notices_are_found_by_what_became_of_them(admin_client, state, count):
    now = timezone.now()
    make_notice()
    make_notice(handled_at=now, note="no such payment")
    make_notice(handled_at=now)
    make_notice(handled_at=now)

    url = reverse("admin:sales_paymentnotice_changelist")
    response = admin_client.get(url, {"state": state} if state else {})

    assert len(response.context["cl"].result_list) == count
