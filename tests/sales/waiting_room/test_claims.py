"""Nobody buys past a sale's waiting room: claims, holds again, changes."""

from uuid import uuid4

import pytest
from django.test import TestCase

from sales import (
    checkout,
    counters,
    flash,
    recovery,
    rooms,
    sync,
    waiting_list,
)
from sales.counters import NotLoaded
from sales.models import Order
from tests.factories import (
    make_roomy_item,
)
from tests.sales.waiting_room.steps import claim, join, refusal

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis"),
]


# -- Claims ------------------------------------------------------------------------


def test_a_claim_from_outside_is_refused():
    item = make_roomy_item()

    assert refusal(claim, item, "g:ann") == "waiting_room"
    assert flash.live([item.pk])[item.pk].left == item.units


def test_who_is_let_in_may_claim():
    item = make_roomy_item()
    assert join(item, "g:ann").state == "inside"

    assert claim(item, "g:ann").state == "held"


def test_the_pass_of_another_buyer_is_no_help():
    item = make_roomy_item()
    join(item, "g:ann")

    assert refusal(claim, item, "g:ben") == "waiting_room"


def test_a_pass_for_another_sale_is_no_help():
    item, other = make_roomy_item(), make_roomy_item()
    join(other, "g:ann")

    assert refusal(claim, item, "g:ann") == "waiting_room"


def test_who_waits_cannot_claim():
    item = make_roomy_item(units=1)
    for buyer in ("g:ann", "g:ben"):
        join(item, buyer)

    assert refusal(claim, item, "g:ben") == "waiting_room"


def test_a_claim_let_in_costs_no_query(django_assert_num_queries):
    item = make_roomy_item()
    join(item, "g:ann")
    claim(item, "g:ann")

    with django_assert_num_queries(0):
        claim(item, "g:ann")
        refusal(claim, item, "g:ben")


def test_a_repeat_is_answered_after_the_pass_has_lapsed():
    item = make_roomy_item()
    join(item, "g:ann")
    order_id = uuid4()
    first = claim(item, "g:ann", order_id=order_id)
    rooms.leave(item.sale_id, "g:ann")

    again = claim(item, "g:ann", order_id=order_id)

    assert (again.replayed, again.seq) == (True, first.seq)


def test_a_room_that_does_not_answer_lets_nobody_in(settings, tmp_path):
    item = make_roomy_item()
    join(item, "g:ann")
    settings.QUEUE_REDIS_URL = f"unix://{tmp_path}/nobody.sock"

    with pytest.raises(NotLoaded):
        claim(item, "g:ann")


def test_a_lost_room_is_joined_again(queue_redis):
    item = make_roomy_item()
    join(item, "g:ann")
    queue_redis.flushall()

    assert refusal(claim, item, "g:ann") == "waiting_room"
    assert join(item, "g:ann").state == "inside"
    assert claim(item, "g:ann")


def test_a_rebuilt_sale_has_its_room_again(sale_redis):
    item = make_roomy_item()
    sale_redis.flushall()

    recovery.heal()

    assert refusal(claim, item, "g:ann") == "waiting_room"


def test_a_paused_sale_goes_on_with_its_room():
    item = make_roomy_item()
    flash.pause(item.sale_id)
    assert refusal(claim, item, "g:ann") == "paused"

    with TestCase.captureOnCommitCallbacks(execute=True):
        flash.resume(item.sale_id)

    assert refusal(claim, item, "g:ann") == "waiting_room"


# -- Holding again and changing ----------------------------------------------------


def test_holding_again_needs_the_room():
    item = make_roomy_item()
    join(item, "g:ann")
    order_id = uuid4()
    claim(item, "g:ann", order_id=order_id)
    checkout.cancel(order_id)
    rooms.leave(item.sale_id, "g:ann")

    assert refusal(checkout.claim_again, order_id) == "waiting_room"

    join(item, "g:ann")
    assert checkout.claim_again(order_id).state == "held"


def test_another_quantity_needs_the_room_and_the_old_one_is_kept():
    item = make_roomy_item()
    join(item, "g:ann")
    old_id = uuid4()
    claim(item, "g:ann", order_id=old_id)
    change = {"order_id": uuid4(), "buyer": "g:ann", "quantity": 2}
    rooms.leave(item.sale_id, "g:ann")
    events = counters.snapshot(item.pk).seq

    with pytest.raises(checkout.NotChanged) as refused:
        checkout.change_claim(item.pk, old_id, **change)

    assert refused.value.refusal.code == "waiting_room"
    assert refused.value.is_kept
    assert counters.find(item.pk, old_id).state == "held"
    assert counters.snapshot(item.pk).seq == events  # not even for a moment

    join(item, "g:ann")
    assert checkout.change_claim(item.pk, old_id, **change).state == "held"


def test_paying_does_not_need_the_room():
    item = make_roomy_item()
    join(item, "g:ann")
    order_id = uuid4()
    claim(item, "g:ann", order_id=order_id)
    rooms.leave(item.sale_id, "g:ann")

    checkout.begin_payment(order_id)

    sync.drain(item.pk)
    assert Order.objects.get().state == "paying"


def test_an_offer_of_the_waiting_list_needs_no_pass():
    item = make_roomy_item(units=1)
    join(item, "g:ann")
    order_id = uuid4()
    claim(item, "g:ann", order_id=order_id)
    entry = waiting_list.join(
        item.pk, buyer="g:ben", quantity=1, email="ben@shop.test"
    ).entry
    checkout.cancel(order_id)

    waiting_list.hand_out(item.pk)

    assert counters.find(item.pk, entry.order_id).state == "held"
    assert not rooms.is_inside(item.sale_id, "g:ben")
