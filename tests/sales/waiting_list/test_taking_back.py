"""An offer that was claimed for somebody who had left is taken back."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sales import checkout, counters, waiting_list
from sales.models import WaitingEntry
from tests.sales.waiting_list.line import join, make_full_item, states, tick

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def left(sale_redis):
    """Somebody who left, and for whom the only unit was claimed all the same.

    By a runner that had read the line before, and died right after the claim.
    """
    item, (held,) = make_full_item()
    entry = join(item)
    checkout.cancel(held)
    waiting_list.leave(entry.order_id)
    offer = counters.Claim(entry.order_id, entry.buyer, entry.quantity)
    counters.claim_many(
        item.pk,
        epoch=item.epoch,
        claims=[offer],
        offer_ms=waiting_list.offer_milliseconds(),
    )
    return entry


def state_of(entry):
    return counters.find(entry.item_id, entry.order_id).state


def test_the_next_tick_takes_it_back_for_the_next_in_line(left):
    following = join(left.item)

    tick()
    tick()

    assert state_of(left) == "cancelled"
    assert states(left, following) == ["left", "offered"]


def test_the_next_tick_takes_it_back_when_nobody_waits_any_more(left):
    tick()

    assert state_of(left) == "cancelled"
    assert counters.snapshot(left.item_id).sellable == 1


def test_who_holds_it_again_on_purpose_keeps_it(left):
    tick()
    checkout.claim_again(left.order_id)

    tick()
    tick()

    assert state_of(left) == "held"


def test_who_left_long_ago_is_not_looked_at(left):
    WaitingEntry.objects.update(ended_at=timezone.now() - timedelta(days=1))

    tick()

    assert state_of(left) == "held"
