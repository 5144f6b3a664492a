"""An order held again, when Redis is lost before that is drained."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from sales import checkout, counters, flash, recovery, sync
from sales.models import FlashSaleItem, Order, Payment
from tests.factories import make_loaded_item
from tests.faults import invariants

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def claim(item, quantity=1):
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer="g:alice", quantity=quantity)
    return order_id


def decline(order_id):
    payment = checkout.begin_payment(order_id)
    checkout.finish(payment.pk, "declined")


def lose_and_recover(redis):
    redis.flushall()
    redis.script_flush()
    (outcome,) = recovery.open_fence()
    assert outcome.rebuilt
    sync.drain(outcome.item_id)
    assert invariants.violations() == []


def stored(order_id):
    order = Order.objects.get(claim_id=order_id)
    return order.state, sync.milliseconds(order.expires_at)


def test_recovery_waits_for_a_journal_that_cannot_be_read(
    sale_redis, settings, tmp_path
):
    item = make_loaded_item()
    order_id = claim(item)
    sale_redis.flushall()
    sale_redis.script_flush()
    there, settings.QUEUE_REDIS_URL = settings.QUEUE_REDIS_URL, f"unix://{tmp_path}/no"
    with pytest.raises(counters.NotLoaded):
        recovery.open_fence()
    item.refresh_from_db()
    assert (item.state, item.epoch) == ("loaded", 1)

    settings.QUEUE_REDIS_URL = there
    lose_and_recover(sale_redis)

    assert stored(order_id)[0] == "held"


@pytest.mark.parametrize("drained", ["claimed", "paying", "declined"])
def test_a_hold_after_a_decline_is_kept_however_much_was_drained(sale_redis, drained):
    item = make_loaded_item(units=3)
    order_id = claim(item, 2)
    payment = checkout.begin_payment(order_id)
    if drained == "paying":
        sync.drain(item.pk)
    checkout.finish(payment.pk, "declined")
    if drained == "declined":
        sync.drain(item.pk)
    again = checkout.claim_again(order_id)

    lose_and_recover(sale_redis)

    assert stored(order_id) == ("held", again.expires_at)
    item.refresh_from_db()
    assert (item.left, item.held, item.poison_events) == (1, 2, 0)


def test_a_hold_after_a_decline_is_kept_whatever_the_clocks_say(sale_redis):
    item = make_loaded_item()
    order_id = claim(item)
    decline(order_id)
    Payment.objects.update(created_at=timezone.now() + timedelta(seconds=30))
    checkout.claim_again(order_id)

    lose_and_recover(sale_redis)

    assert stored(order_id)[0] == "held"


def test_a_second_payment_goes_on_after_a_hold_that_only_the_journal_knew(sale_redis):
    item = make_loaded_item()
    order_id = claim(item)
    decline(order_id)
    checkout.claim_again(order_id)
    payment = checkout.begin_payment(order_id)
    checkout.finish(payment.pk, "paid")

    lose_and_recover(sale_redis)

    assert stored(order_id)[0] == "paid"


@pytest.mark.parametrize("is_drained", [True, False])
def test_a_hold_after_a_cancel_lasts_as_long_as_was_told(sale_redis, is_drained):
    item = make_loaded_item()
    order_id = claim(item)
    if is_drained:
        sync.drain(item.pk)
    checkout.cancel(order_id)
    again = checkout.claim_again(order_id)

    lose_and_recover(sale_redis)

    assert stored(order_id) == ("held", again.expires_at)


def test_a_shorter_hold_after_a_long_offer_is_kept(sale_redis):
    """The number of the event says which hold is the later one, not its end."""
    item = make_loaded_item()
    offer = counters.Claim(uuid4(), "g:alice", 1)
    counters.claim_many(item.pk, epoch=1, claims=[offer], offer_ms=3_600_000)
    checkout.cancel(offer.order_id)
    sync.drain(item.pk)
    again = checkout.claim_again(offer.order_id)

    lose_and_recover(sale_redis)

    assert stored(offer.order_id) == ("held", again.expires_at)


def test_a_drain_of_the_cancel_keeps_the_note_of_the_hold_after_it(sale_redis):
    item = make_loaded_item()
    order_id = claim(item)
    checkout.cancel(order_id)
    with transaction.atomic():  # the drain commits after the order is held again
        sync.drain_locked(FlashSaleItem.objects.select_for_update().get(pk=item.pk))
        again = checkout.claim_again(order_id)

    lose_and_recover(sale_redis)

    assert stored(order_id) == ("held", again.expires_at)


def test_a_repeat_of_a_claim_that_was_held_again_is_noted_as_it_is_now(sale_redis):
    item = make_loaded_item()
    order_id = claim(item)
    checkout.cancel(order_id)
    sync.drain(item.pk)
    again = counters.reclaim(item.pk, epoch=1, order_id=order_id, target="held")

    told = flash.claim(item.pk, order_id=order_id, buyer="g:alice", quantity=1)
    lose_and_recover(sale_redis)

    assert told.replayed
    assert stored(order_id) == ("held", again.expires_at)
