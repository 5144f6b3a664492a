"""Alerts: one per crossing, from every write path, mailed by rule."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from catalog import alerts, stock, thresholds
from catalog.models import Alert, AlertRule, StatusChange
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db
NOTE = stock.Note(cause="test")


def make_rule(kind="out", **fields):
    fields.setdefault("emails", "buyer@shop.test")
    return AlertRule.objects.create(kind=kind, **fields)


def sell_out(product):
    product.stock.refresh_from_db()
    stock.reserve({product.pk: product.stock.sellable}, note=NOTE)


def told():
    alerts.read_status_changes()
    alerts.send_mails(timezone.now())
    return [message.body for message in mail.outbox]


def test_a_crossing_is_told_once_whatever_wrote_it():
    make_rule()
    sold, raised = make_product("Spade"), make_product("Rake")
    sell_out(sold)
    thresholds.change({raised.pk: thresholds.Levels(safety_threshold=50)})

    first, again = told(), told()

    assert len(first) == len(again) == 1
    assert "Spade" in first[0]
    assert "Rake" in first[0]
    assert Alert.objects.filter(kind="out").count() == 2


def test_only_the_rules_of_the_product_and_its_shelves_are_mailed():
    garden = make_category("Garden")
    pots = make_category("Pots", parent=garden)
    other = make_category("Kitchen")
    for category in (garden, pots, other):
        make_rule(category=category, emails=f"{category.name.lower()}@shop.test")
    sell_out(make_product(category=pots))

    told()

    assert sorted(m.to[0] for m in mail.outbox) == [
        "garden@shop.test",
        "pots@shop.test",
    ]


def test_a_product_that_flips_to_and_fro_is_mailed_once_in_the_quiet_time():
    make_rule(quiet_minutes=30)
    product = make_product(on_hand=1)
    for _ in range(3):
        stock.reserve({product.pk: 1}, note=NOTE)
        told()
        stock.release({product.pk: 1}, note=NOTE)
        told()
    assert len(mail.outbox) == 1
    assert Alert.objects.filter(kind="out").count() == 3


def test_a_digest_goes_out_once_a_day():
    make_rule(is_digest=True, quiet_minutes=0)
    sell_out(make_product("Spade"))
    alerts.read_status_changes()
    now = timezone.now()
    assert alerts.send_mails(now) == 1
    sell_out(make_product("Rake"))
    alerts.read_status_changes()
    assert alerts.send_mails(now + timedelta(hours=23)) == 0
    assert alerts.send_mails(now + timedelta(hours=25)) == 1


def test_a_mail_that_cannot_be_sent_stays_in_line(monkeypatch):
    make_rule()
    sell_out(make_product())

    def refuse(*args):
        raise OSError("no mail server")

    with monkeypatch.context() as broken:
        broken.setattr(alerts, "send_mail", refuse)
        told()
    assert not mail.outbox
    assert len(told()) == 1


def test_a_product_that_stays_out_is_reported_once():
    make_rule("stays_out", out_hours=24)
    product = make_product(on_hand=1)
    sell_out(product)
    now = timezone.now()
    assert alerts.look_for_long_outs(now + timedelta(hours=23)) == 0
    assert alerts.look_for_long_outs(now + timedelta(hours=25)) == 1
    assert alerts.look_for_long_outs(now + timedelta(hours=26)) == 0


def test_a_product_that_came_back_does_not_stay_out():
    make_rule("stays_out")
    product = make_product(on_hand=1)
    sell_out(product)
    stock.release({product.pk: 1}, note=NOTE)
    assert StatusChange.objects.count() == 2
    assert alerts.look_for_long_outs(timezone.now() + timedelta(days=9)) == 0


def test_an_alarm_is_shown_once_until_it_is_seen():
    assert alerts.raise_once("drift", "Units differ.", cause="item:1")
    assert alerts.raise_once("drift", "Units differ.", cause="item:1") is None
    Alert.objects.update(seen_at=timezone.now())
    assert alerts.raise_once("drift", "Units differ.", cause="item:1")
