"""An offer that was claimed for somebody who had left is taken back."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sales import checkout, counters, waiting_list
from sales.models import WaitingEntry
from tests.sales.waiting_list.line import join, make_full_item, states, tick

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def claim_for(item, entry):
    """The claim of a runner that dies right after it, having read the line before."""
    offer = counters.Claim(entry.order_id, entry.buyer, entry.quantity)
    counters.claim_many(
        item.pk,
        epoch=item.epoch,
        claims=[offer],
        offer_ms=waiting_list.offer_milliseconds(),
    )


def state_of(entry):
    return counters.find(entry.item_id, entry.order_id).state


def test_the_next_tick_takes_it_back_for_the_next_in_line(sale_redis):
    item, (held,) = make_full_item()
    left, following = join(item), join(item)
    checkout.cancel(held)
    waiting_list.leave(left.order_id)
    claim_for(item, left)

    tick()
    tick()

    assert state_of(left) == "cancelled"
    assert states(left, following) == ["left", "offered"]


def test_the_next_tick_takes_it_back_when_nobody_waits_any_more(sale_redis):
    item, (held,) = make_full_item()
    left = join(item)
    checkout.cancel(held)
    waiting_list.leave(left.order_id)
    claim_for(item, left)

    tick()

    assert state_of(left) == "cancelled"
    assert counters.snapshot(item.pk).sellable == 1


def test_who_holds_it_again_on_purpose_keeps_it(sale_redis):
    item, (held,) = make_full_item()
    left = join(item)
    checkout.cancel(held)
    waiting_list.leave(left.order_id)
    claim_for(item, left)
    tick()
    checkout.claim_again(left.order_id)

    tick()
    tick()

    assert state_of(left) == "held"


def test_who_left_long_ago_is_not_looked_at(sale_redis):
    item, (held,) = make_full_item()
    left = join(item)
    checkout.cancel(held)
    waiting_list.leave(left.order_id)
    claim_for(item, left)
    WaitingEntry.objects.update(ended_at=timezone.now() - timedelta(days=1))

    tick()

    assert state_of(left) == "held"
