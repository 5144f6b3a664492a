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
    waiting_room,
)
from sales.counters import ClaimRefused, NotLoaded
from sales.models import FlashSale, Order
from tests.factories import (
    make_item,
    make_loaded_item,
    make_product,
    make_roomy_item,
    make_sale,
)
from tests.threads import run_at_once

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis", "room_server"),
]


def claim(item, buyer, *, order_id=None, quantity=1):
    return flash.claim(
        item.pk, order_id=order_id or uuid4(), buyer=buyer, quantity=quantity
    )


def join(item, buyer):
    return waiting_room.join(waiting_room.of_sale(item.sale_id), buyer)


def look(item, buyer):
    return waiting_room.look(waiting_room.of_sale(item.sale_id), buyer)


def buy(item, buyer):
    """Claim and pay for one unit."""
    order_id = uuid4()
    claim(item, buyer, order_id=order_id)
    counters.begin_payment(item.pk, epoch=item.epoch, order_id=order_id)
    counters.confirm(item.pk, epoch=item.epoch, order_id=order_id)
    return order_id


def refusal(call, *args, **fields):
    with pytest.raises(ClaimRefused) as refused:
        call(*args, **fields)
    return refused.value.code


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


def test_a_lost_room_is_joined_again(room_server):
    item = make_roomy_item()
    join(item, "g:ann")
    room_server.flushall()

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


# -- The allowance -----------------------------------------------------------------


def test_as_many_are_inside_as_units_are_left_held_or_being_paid():
    item = make_roomy_item(units=3)

    states = [join(item, f"g:{number}").state for number in range(5)]
    claim(item, "g:0")

    assert states == ["inside"] * 3 + ["waiting"] * 2
    assert look(item, "g:3").place == 1


def test_a_paid_unit_lets_nobody_more_in():
    item = make_roomy_item(units=2)
    for number in range(3):
        join(item, f"g:{number}")

    buy(item, "g:0")
    rooms.leave(item.sale_id, "g:0")

    assert look(item, "g:2").state == "waiting"


def test_who_has_paid_takes_nobodys_turn():
    item = make_roomy_item(units=2)
    for number in range(3):
        join(item, f"g:{number}")
    order_id = uuid4()
    claim(item, "g:0", order_id=order_id)

    checkout.finish(checkout.begin_payment(order_id).pk, "paid")
    rooms.leave(item.sale_id, "g:1")

    assert look(item, "g:2").state == "inside"
    assert look(item, "g:0").state == "inside"


def test_units_added_let_more_people_in():
    item = make_roomy_item(units=1)
    for number in range(3):
        join(item, f"g:{number}")

    counters.adjust(item.pk, epoch=item.epoch, units=1)

    assert look(item, "g:1").state == "inside"
    assert look(item, "g:2").state == "waiting"


def test_all_items_of_the_sale_count():
    item = make_roomy_item(units=1)
    make_item(sale=item.sale, units=2)
    flash.preload(item.sale_id)
    waiting_room.forget()

    states = [join(item, f"g:{number}").state for number in range(4)]

    assert states == ["inside"] * 3 + ["waiting"]


def test_safety_stock_lets_nobody_in():
    item = make_roomy_item(units=5)
    counters.adjust(item.pk, epoch=item.epoch, floor=4)

    assert join(item, "g:ann").state == "inside"
    assert join(item, "g:ben").state == "waiting"


def test_nobody_goes_in_while_the_sale_is_paused():
    item = make_roomy_item()
    flash.pause(item.sale_id)

    assert join(item, "g:ann").state == "waiting"


def test_nobody_goes_in_while_the_counters_are_lost(sale_redis):
    item = make_roomy_item()
    sale_redis.flushall()

    assert join(item, "g:ann").place == 1


def test_the_room_closes_when_it_is_sold_out_and_goes_on_when_units_come_back():
    item = make_roomy_item(units=1)
    for buyer in ("g:ann", "g:ben"):
        join(item, buyer)
    order_id = buy(item, "g:ann")

    assert look(item, "g:ben").state == "closed"
    assert join(item, "g:cem").state == "closed"

    counters.refund(item.pk, epoch=item.epoch, order_id=order_id, restock=True)
    rooms.leave(item.sale_id, "g:ann")
    assert look(item, "g:ben").state == "inside"
    assert look(item, "g:cem").state == "outside"


@pytest.mark.django_db(transaction=True)
def test_two_hundred_at_once_buy_what_there_is():
    item = make_roomy_item(units=20, limit=1, product=make_product(on_hand=20))

    def come(number):
        if not join(item, f"g:{number}").is_inside:
            return refusal(claim, item, f"g:{number}")
        return claim(item, f"g:{number}").state

    outcomes = run_at_once(come, range(200))

    assert outcomes.count("held") == 20
    assert set(outcomes) <= {"held", "waiting_room", "all_held"}
    assert flash.live([item.pk])[item.pk].sellable == 0


# -- Before, after, without --------------------------------------------------------


def test_the_room_can_be_joined_before_the_sale_is_loaded():
    sale = make_sale(state="scheduled", opens_in=600, has_waiting_room=True)
    item = make_item(sale=sale)

    assert join(item, "g:ann").state == "early"


def test_before_the_start_even_who_joined_cannot_claim():
    item = make_roomy_item(opens_in=600)
    join(item, "g:ann")

    assert refusal(claim, item, "g:ann") == "not_started"


def test_a_sale_without_a_room_lets_everybody_buy(room_server):
    item = make_loaded_item()

    assert join(item, "g:ann").is_inside
    assert join(item, "g:ann").state == "none"
    assert not room_server.keys("room:*")


def test_a_draft_has_no_room():
    with pytest.raises(FlashSale.DoesNotExist):
        waiting_room.of_sale(make_sale(has_waiting_room=True).pk)


def test_after_the_end_there_is_nothing_to_wait_for():
    item = make_roomy_item()
    flash.end(item.sale_id)
    waiting_room.forget()

    assert join(item, "g:ann").state == "over"


def test_looking_in_costs_no_query(django_assert_num_queries):
    item = make_roomy_item(units=1)
    join(item, "g:ann")

    with django_assert_num_queries(0):
        join(item, "g:ben")
        look(item, "g:ben")


def test_who_signs_in_keeps_the_guests_place(room_server):
    item = make_roomy_item(units=1)
    for buyer in ("g:ann", "g:ben", "g:cem"):
        join(item, buyer)

    waiting_room.hand_over(item.sale_id, "g:ben", "u:2")
    waiting_room.hand_over(item.sale_id, "g:ann", "u:1")
    waiting_room.hand_over(item.sale_id, "g:nobody", "u:3")

    assert look(item, "u:1").state == "inside"
    assert look(item, "u:2").place == 1
    assert look(item, "g:cem").place == 2
    assert look(item, "u:3").state == look(item, "g:ben").state == "outside"


def test_a_place_of_the_account_is_kept_and_the_guests_is_gone():
    item = make_roomy_item(units=1)
    for buyer in ("g:ann", "g:ben", "u:1"):
        join(item, buyer)

    waiting_room.hand_over(item.sale_id, "g:ben", "u:1")

    assert look(item, "u:1").place == 1
    assert look(item, "g:ben").state == "outside"
