"""How many people are inside at once, and when the room closes."""

from uuid import uuid4

import pytest

from sales import (
    checkout,
    counters,
    flash,
    rooms,
    waiting_room,
)
from tests.factories import (
    make_item,
    make_product,
    make_roomy_item,
)
from tests.sales.waiting_room.steps import buy, claim, join, look, refusal
from tests.threads import run_at_once

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis"),
]


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
