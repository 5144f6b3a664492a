"""The switch of a sale's waiting room: at once, logged, and made good after a crash."""

import pytest
from django.test import TestCase

from sales import flash, waiting_room
from sales.orders import NotPossible
from tests.factories import make_loaded_item, make_roomy_item, make_user
from tests.sales.waiting_room.steps import claim, join, look, refusal

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis"),
]


def with_commit(step):
    """Run a step and what it leaves for the commit."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        return step()


def turn(item, is_on):
    with_commit(lambda: waiting_room.turn(item.sale_id, is_on=is_on))


def test_turned_off_everybody_may_buy_at_once():
    item = make_roomy_item(units=1)
    for buyer in ("g:ann", "g:ben"):
        join(item, buyer)

    turn(item, False)

    assert look(item, "g:ben").state == "none"
    assert claim(item, "g:ben")


def test_turned_on_during_the_sale_it_keeps_people_out_at_once():
    item = make_loaded_item(units=5)
    claim(item, "g:early")

    turn(item, True)

    assert refusal(claim, item, "g:ann") == "waiting_room"
    assert join(item, "g:ann").is_inside
    assert claim(item, "g:ann")


def test_turning_is_logged_with_its_actor_and_repeats_change_nothing():
    item = make_loaded_item()
    actor = make_user()

    for _ in range(2):
        with_commit(lambda: waiting_room.turn(item.sale_id, is_on=True, actor=actor))

    notes = item.sale.transitions.filter(note="waiting room on")
    assert [line.actor for line in notes] == [actor]
    assert item.sale.history.first().has_waiting_room


def test_a_crash_before_redis_was_told_is_made_good_by_the_tick():
    item = make_loaded_item()
    type(item.sale).objects.filter(pk=item.sale_id).update(has_waiting_room=True)

    flash.advance()

    assert refusal(claim, item, "g:ann") == "waiting_room"


def test_a_sale_that_is_over_gets_no_room():
    item = make_loaded_item()
    flash.end(item.sale_id)

    with pytest.raises(NotPossible):
        waiting_room.turn(item.sale_id, is_on=True)
