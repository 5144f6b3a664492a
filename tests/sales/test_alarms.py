"""Alarms about flash sales are told once, until somebody has seen them."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from catalog.models import Alert
from sales import alarms, audit, checkout, counters, flash, sync
from sales.models import FlashSaleItem
from tests.factories import make_loaded_item, make_product

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def sounded(now=None):
    alarms.sound(now or timezone.now())
    return list(Alert.objects.order_by("pk").values_list("kind", flat=True))


def test_a_running_sale_without_trouble_raises_nothing(sale_redis):
    make_loaded_item()
    audit.run()
    assert sounded() == []


def test_a_frozen_item_is_told_once_until_it_is_seen(sale_redis):
    item = make_loaded_item()
    sync.freeze(item.pk, "event 3 is missing")
    assert sounded() == sounded() == ["doubt"]
    assert "event 3 is missing" in Alert.objects.get().text
    Alert.objects.update(seen_at=timezone.now())
    assert sounded() == ["doubt", "doubt"]


def test_each_event_that_was_set_aside_is_told_once(sale_redis):
    item = make_loaded_item()
    events = counters.keys(item.pk)[3]
    for number in (1, 2):
        seq = counters.snapshot(item.pk).seq + 1
        sale_redis.xadd(events, {"event": "nonsense", "epoch": 1}, id=f"{seq}-0")
        sale_redis.hset(counters.keys(item.pk)[0], "seq", seq)
        sync.drain(item.pk)
        assert sounded() == ["doubt"] * number
        Alert.objects.update(seen_at=timezone.now())
        assert sounded() == ["doubt"] * number
    assert "could not be understood" in Alert.objects.latest("pk").text


def test_an_item_is_sold_out_when_its_last_hold_is_paid(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=2), units=2)
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer="g:alice", quantity=2)
    sync.drain(item.pk)
    assert sounded() == []
    checkout.finish(checkout.begin_payment(order_id).pk, "paid")
    sync.drain(item.pk)
    assert sounded() == sounded() == ["sold_out"]


def test_orders_that_nobody_drains_are_an_alarm(sale_redis):
    item = make_loaded_item()
    flash.claim(item.pk, order_id=uuid4(), buyer="g:alice", quantity=1)
    assert sounded() == []
    assert sounded(timezone.now() + timedelta(minutes=1)) == ["sync_lag"]


def test_what_the_audit_finds_is_an_alarm(sale_redis):
    item = make_loaded_item()
    flash.claim(item.pk, order_id=uuid4(), buyer="g:alice", quantity=1)
    sync.drain(item.pk)
    FlashSaleItem.objects.filter(pk=item.pk).update(left=9, held=0)
    audit.run(pause=False)
    assert "drift" in sounded()
