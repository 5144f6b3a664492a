"""Who waited in vain is told once that the sale is over."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.core import mail
from django.utils import timezone, translation

from catalog import mailing
from sales import checkout, counters, flash, jobs, sync, waiting_list
from tests.sales.waiting_list.line import join, make_full_item, states, tick
from tests.threads import run_at_once

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def broken_mail(settings):
    """No mail leaves until the settings have their backend back."""
    works = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "localhost", 1  # nobody listens
    return lambda: setattr(settings, "EMAIL_BACKEND", works)


def end(item, held=()):
    flash.end(item.sale_id)
    for order_id in held:
        checkout.cancel(order_id)
    tick()


def told():
    """The mails of a tick: address and subject."""
    mail.outbox.clear()
    jobs.send_mails()
    return [(message.to[0], message.subject) for message in mail.outbox]


def test_who_waits_when_the_sale_ends_is_told_once_and_forgotten(sale_redis):
    item, held = make_full_item()
    entry = join(item, email="ann@shop.test")
    assert told() == []
    end(item, held)

    first, again = told(), told()

    subject = f"The sale is over: {item.product.name}"
    assert (first, again) == ([("ann@shop.test", subject)], [])
    entry.refresh_from_db()
    assert (entry.email, entry.next_try_at) == ("", None)


def test_workers_at_once_tell_each_once(sale_redis):
    item, _ = make_full_item()
    waiting = sorted(join(item).email for _ in range(4))
    run_at_once(lambda n: waiting_list.serve(item.closes_at), range(2))

    sent = run_at_once(lambda n: waiting_list.tell_ended(item.closes_at), range(4))

    assert sum(sent) == 4
    assert sorted(message.to[0] for message in mail.outbox) == waiting


def test_who_left_is_not_told(sale_redis):
    item, held = make_full_item()
    waiting_list.leave(join(item).order_id)
    end(item, held)

    assert told() == []


def test_whose_offer_was_paid_or_ran_out_is_not_told_of_the_line(sale_redis):
    item, held = make_full_item(units=2)
    buys, sleeps = join(item), join(item)
    for order_id in held:
        checkout.cancel(order_id)
    tick()
    checkout.finish(checkout.begin_payment(buys.order_id).pk, "paid")
    checkout.cancel(sleeps.order_id)
    end(item)

    subjects = [subject for _, subject in told()]

    assert states(buys, sleeps) == ["bought", "lapsed"]
    assert not any("The sale is over" in subject for subject in subjects)


def test_an_offer_nobody_was_told_of_is_told_though_the_sale_is_over(sale_redis):
    """A worker died between the claim for the first in line and its mail."""
    item, held = make_full_item()
    entry = join(item, email="ann@shop.test")
    checkout.cancel(held[0])
    sync.drain(item.pk)
    offer = counters.Claim(entry.order_id, entry.buyer, 1)
    counters.claim_many(item.pk, epoch=item.epoch, claims=[offer], offer_ms=60_000)
    flash.end(item.sale_id)

    tick()

    assert states(entry) == ["offered"]
    ((to, subject),) = told()
    assert to == "ann@shop.test"
    assert subject.startswith("It is your turn")


def test_somebody_elses_order_of_that_id_is_no_offer(sale_redis):
    item, held = make_full_item(units=2)
    entry = join(item)
    checkout.cancel(held[0])
    sync.drain(item.pk)
    other = counters.Claim(entry.order_id, f"g:{uuid4()}", 1)
    counters.claim_many(item.pk, epoch=item.epoch, claims=[other], offer_ms=60_000)

    end(item)

    assert states(entry) == ["closed"]
    assert len(told()) == 1


def test_the_mail_is_in_the_language_of_joining(sale_redis):
    item, held = make_full_item()
    with translation.override("id"):
        join(item)
    end(item, held)

    ((_, subject),) = told()

    assert subject == f"Penjualan sudah selesai: {item.product.name}"
    assert "Tidak ada yang ditagih" in mail.outbox[0].body


def test_the_mail_says_where_to_go_on(sale_redis, settings):
    settings.SITE_URL = "https://shop.test"
    item, held = make_full_item()
    entry = join(item)
    end(item, held)

    told()

    message = mail.outbox[0]
    page, _ = message.alternatives[0]
    product_url = f"https://shop.test{item.product.get_absolute_url()}"
    for text in (message.body, page):
        assert "You were not charged" in text
        assert product_url in text
        assert f"https://shop.test/orders/{entry.order_id}/" in text


def test_a_product_taken_from_the_shop_is_not_linked(sale_redis):
    item, held = make_full_item()
    join(item)
    end(item, held)
    type(item.product).objects.filter(pk=item.product_id).update(is_published=False)

    told()

    assert item.product.get_absolute_url() not in mail.outbox[0].body


def test_a_mail_that_does_not_go_is_tried_again_and_given_up(sale_redis, broken_mail):
    item, held = make_full_item()
    entry = join(item)
    end(item, held)
    now = timezone.now()

    for wait in (*mailing.WAITS, timedelta()):
        assert waiting_list.tell_ended(now) == 0
        now += wait

    entry.refresh_from_db()
    assert (entry.attempts, entry.email) == (len(mailing.WAITS), "")


def test_a_mail_that_did_not_go_goes_later(sale_redis, broken_mail):
    item, held = make_full_item()
    join(item)
    end(item, held)
    now = timezone.now()
    assert waiting_list.tell_ended(now) == 0
    broken_mail()

    assert waiting_list.tell_ended(now) == 0
    assert waiting_list.tell_ended(now + mailing.WAITS[0]) == 1
