"""The room before a sale is loaded, after its end, and a sale without one."""

import pytest

from sales import (
    flash,
    waiting_room,
)
from sales.models import FlashSale
from tests.factories import (
    make_item,
    make_loaded_item,
    make_roomy_item,
    make_sale,
)
from tests.sales.waiting_room.steps import claim, join, look, refusal

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis"),
]


def test_the_room_can_be_joined_before_the_sale_is_loaded():
    sale = make_sale(state="scheduled", opens_in=600, has_waiting_room=True)
    item = make_item(sale=sale)

    assert join(item, "g:ann").state == "early"


def test_before_the_start_even_who_joined_cannot_claim():
    item = make_roomy_item(opens_in=600)
    join(item, "g:ann")

    assert refusal(claim, item, "g:ann") == "not_started"


def test_a_sale_without_a_room_lets_everybody_buy(queue_redis):
    item = make_loaded_item()

    assert join(item, "g:ann").is_inside
    assert join(item, "g:ann").state == "none"
    assert not queue_redis.keys("room:*")


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


def test_who_signs_in_keeps_the_guests_place(queue_redis):
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
