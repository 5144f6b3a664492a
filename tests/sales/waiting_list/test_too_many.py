"""Entries that want more than anybody may have by now stand in nobody's way."""

from uuid import uuid4

import pytest

from sales import adjustments, checkout, counters
from sales.models import Order
from tests.sales.waiting_list.line import join, kept, make_full_item, states, tick

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def units_of(entry):
    return Order.objects.get(claim_id=entry.order_id).lines.get().quantity


def test_who_wants_more_than_the_shop_sells_at_once_is_offered_that_many(
    sale_redis, settings
):
    item, held = make_full_item(units=4)
    first, second = join(item, quantity=3), join(item)
    settings.SHOP_MAX_QUANTITY = 2
    for order_id in held[:3]:
        checkout.cancel(order_id)

    tick()

    assert states(first, second) == ["offered", "offered"]
    assert [units_of(first), units_of(second)] == [2, 1]
    assert kept(item) == 0


def test_who_wants_more_than_a_buyer_may_have_now_is_offered_that_many(sale_redis):
    item, held = make_full_item(units=4, limit=3)
    first, second = join(item, quantity=3), join(item)
    adjustments.change_limit(item.pk, 1)
    for order_id in held[:3]:
        checkout.cancel(order_id)

    tick()
    tick()

    assert states(first, second) == ["offered", "offered"]
    assert [units_of(first), units_of(second)] == [1, 1]
    assert kept(item) == 0


def test_who_wants_more_than_there_are_is_offered_all_that_come_back(sale_redis):
    item, held = make_full_item(units=4)
    first, second = join(item, quantity=4), join(item)
    for order_id in held[:2]:
        checkout.cancel(order_id)
    adjustments.change_units(item.pk, -1)
    assert counters.snapshot(item.pk).units == 3

    tick()

    assert states(first, second) == ["offered", "waiting"]
    assert units_of(first) == 1
    assert kept(item) == 1


def test_who_may_have_no_more_at_all_is_told_so_and_the_next_is_served(sale_redis):
    item, held = make_full_item(units=4, limit=3)
    checkout.cancel(held[0])
    tick()
    owner = "g:owner"
    counters.claim(item.pk, epoch=1, order_id=uuid4(), buyer=owner, quantity=1)
    first, second = join(item, buyer=owner, quantity=2), join(item)
    adjustments.change_limit(item.pk, 1)
    checkout.cancel(held[1])

    tick()
    tick()

    assert states(first, second) == ["closed", "offered"]
    assert first.reason == "limit"
