"""Claims while people wait: in the room before, in line after."""

from uuid import uuid4

import pytest

from sales import counters
from sales.counters import Claim, ClaimRefused, NotLoaded, WrongEpoch
from tests.factories import make_counters
from tests.sales.counters.steps import ITEM, adjust, claim, released

pytestmark = pytest.mark.redis


def offer(quantity=1, *, buyer="g:first", order_id=None, offer_ms=900_000):
    """The answer to an offer to somebody in line; refusals are raised."""
    wanted = Claim(order_id or uuid4(), buyer, quantity)
    (answer,) = counters.claim_many(ITEM, epoch=1, claims=[wanted], offer_ms=offer_ms)
    if isinstance(answer, Exception):
        raise answer
    return answer


class TestTheWaitingRoom:
    @pytest.fixture(autouse=True)
    def _room(self, sale_redis):
        make_counters(units=3, limit=2, state="room")

    def let_in(self, **fields):
        numbers = {"order_id": uuid4(), "buyer": "g:alice", "quantity": 1, **fields}
        return counters.claim(ITEM, epoch=1, inside=True, **numbers)

    def refusal(self, quantity=1, **fields):
        with pytest.raises(ClaimRefused) as refused:
            claim(quantity, **fields)
        return refused.value.code

    def test_a_claim_from_outside_is_refused_and_changes_nothing(self):
        before = counters.snapshot(ITEM)

        assert self.refusal() == "waiting_room"

        after = counters.snapshot(ITEM)
        assert (after.left, after.seq) == (before.left, before.seq)

    def test_who_was_let_in_may_claim(self):
        assert self.let_in().left == 2

    def test_a_claim_that_was_admitted_is_answered_from_anywhere(self):
        order_id = uuid4()
        first = self.let_in(order_id=order_id)

        again = claim(order_id=order_id)

        assert (again.replayed, again.seq) == (True, first.seq)

    def test_an_offer_need_not_wait(self):
        assert offer(1).left == 2

    def test_outside_one_is_told_when_it_is_sold_out(self):
        self.let_in(quantity=2)
        self.let_in(buyer="g:ben")

        assert self.refusal() == "all_held"

    def test_the_limit_holds_inside(self):
        self.let_in(quantity=2)

        with pytest.raises(ClaimRefused) as refused:
            self.let_in()

        assert refused.value.code == "limit_reached"

    def test_a_released_claim_is_held_again_from_inside_only(self):
        order_id = uuid4()
        self.let_in(order_id=order_id)
        counters.release(ITEM, epoch=1, order_id=order_id, reason="cancelled")

        def again(**fields):
            return counters.reclaim(ITEM, epoch=1, order_id=order_id, **fields)

        with pytest.raises(ClaimRefused) as refused:
            again(target="held")

        assert refused.value.code == "waiting_room"
        assert again(target="held", inside=True).state == "held"

    def test_late_money_need_not_wait(self):
        order_id = uuid4()
        self.let_in(order_id=order_id)
        counters.release(ITEM, epoch=1, order_id=order_id, reason="cancelled")

        again = counters.reclaim(ITEM, epoch=1, order_id=order_id, target="paying")

        assert again.state == "paying"

    def test_an_open_door_lets_everybody_in_at_once(self):
        adjust(state="open")

        assert claim().left == 2


class TestTheWaitingList:
    def test_what_the_line_wants_is_left_above_the_floor(self, sale_redis):
        make_counters(units=10, floor=2, waiting=3)

        assert claim(5).left == 0
        with pytest.raises(ClaimRefused) as refused:
            claim(1)

        assert (refused.value.code, refused.value.left) == ("all_held", 0)
        assert counters.snapshot(ITEM).sellable == 0
        assert counters.snapshot(ITEM).free == 3

    def test_what_could_be_had_besides_the_line_is_said(self, sale_redis):
        make_counters(units=10, waiting=6)

        with pytest.raises(ClaimRefused) as refused:
            claim(5)

        assert (refused.value.code, refused.value.left) == ("all_held", 4)

    def test_sold_out_stays_sold_out(self, sale_redis):
        make_counters(units=2, waiting=3)
        offer(2)
        for order_id, _ in list(counters.claims(ITEM)):
            counters.begin_payment(ITEM, epoch=1, order_id=order_id)
            counters.confirm(ITEM, epoch=1, order_id=order_id)

        with pytest.raises(ClaimRefused) as refused:
            claim(1)

        assert refused.value.code == "sold_out"

    def test_an_offer_takes_what_is_kept_and_holds_as_long_as_it_says(self, sale_redis):
        make_counters(units=3, floor=1, waiting=2, hold=600)

        admitted = offer(2, offer_ms=900_000)

        s = counters.snapshot(ITEM)
        assert (s.left, s.held, admitted.left) == (1, 2, 0)
        assert 880_000 < admitted.expires_at - s.now <= 900_000

    def test_an_offer_stops_at_the_floor(self, sale_redis):
        make_counters(units=3, floor=2, waiting=9)

        with pytest.raises(ClaimRefused) as refused:
            offer(2)

        assert (refused.value.code, refused.value.left) == ("sold_out", 1)

    def test_an_offer_again_is_the_same_offer(self, sale_redis):
        make_counters(units=3, waiting=3)
        order_id = uuid4()
        first = offer(2, order_id=order_id)

        again = offer(2, order_id=order_id)

        assert again.replayed
        assert (again.seq, again.expires_at) == (first.seq, first.expires_at)
        assert counters.snapshot(ITEM).held == 2

    def test_an_offer_obeys_the_limit_of_its_buyer(self, sale_redis):
        make_counters(limit=2, waiting=5)
        claim(2, buyer="g:first")

        with pytest.raises(ClaimRefused) as refused:
            offer(1, buyer="g:first")

        assert (refused.value.code, refused.value.detail) == ("limit_reached", 0)

    def test_a_hold_that_ended_does_not_come_back_before_the_line(self, sale_redis):
        make_counters(units=1)
        order_id = released()
        counters.keep_for_line(ITEM, epoch=1, units=1)

        with pytest.raises(ClaimRefused) as refused:
            counters.reclaim(ITEM, epoch=1, order_id=order_id, target="held")

        assert (refused.value.code, refused.value.left) == ("all_held", 0)

    def test_late_money_comes_before_the_line(self, sale_redis):
        make_counters(units=1)
        order_id = released()
        counters.keep_for_line(ITEM, epoch=1, units=1)

        admitted = counters.reclaim(ITEM, epoch=1, order_id=order_id, target="paying")

        assert (admitted.state, admitted.left) == ("paying", 0)

    def test_counters_without_the_field_know_nobody_in_line(self, sale_redis):
        make_counters(units=2, waiting=2)
        sale_redis.hdel(counters.keys(ITEM)[0], "waiting")

        assert counters.snapshot(ITEM).waiting == 0
        assert counters.snapshots([ITEM])[ITEM].waiting == 0
        assert claim(1).left == 1

    def test_it_is_set_without_an_event_and_once(self, sale_redis):
        before = make_counters()

        first = counters.keep_for_line(ITEM, epoch=1, units=4)
        again = counters.keep_for_line(ITEM, epoch=1, units=4)

        s = counters.snapshot(ITEM)
        assert (first.repeated, again.repeated) == (False, True)
        assert (s.waiting, s.seq, s.events) == (4, before.seq, before.events)
        with pytest.raises(WrongEpoch):
            counters.keep_for_line(ITEM, epoch=2, units=1)
        sale_redis.delete(counters.keys(ITEM)[0])
        with pytest.raises(NotLoaded):
            counters.keep_for_line(ITEM, epoch=1, units=1)
