"""What becomes of a claim, and changes of a running item."""

from uuid import uuid4

import pytest

from sales import counters
from sales.counters import ClaimRefused, Code, NotLoaded, StepRefused
from tests.factories import make_counters
from tests.sales.counters.steps import (
    ITEM,
    OF_A_CLAIM,
    STEPS,
    TRILLION,
    adjust,
    claim,
    everything,
    held,
    paid,
    paying,
    refunded,
    released,
)

pytestmark = pytest.mark.redis


class TestPayment:
    def test_a_held_claim_begins_is_confirmed_and_each_step_is_repeatable(
        self, sale_redis
    ):
        make_counters(units=5)
        order_id = held(2)

        assert not counters.begin_payment(ITEM, epoch=1, order_id=order_id).repeated
        assert (counters.snapshot(ITEM).held, counters.snapshot(ITEM).paying) == (0, 2)
        assert counters.begin_payment(ITEM, epoch=1, order_id=order_id).repeated
        assert not counters.confirm(ITEM, epoch=1, order_id=order_id).repeated
        s = counters.snapshot(ITEM)
        assert (s.left, s.paying, s.paid) == (3, 0, 2)
        again = counters.confirm(ITEM, epoch=1, order_id=order_id)
        begun = counters.begin_payment(ITEM, epoch=1, order_id=order_id)
        assert (again.repeated, begun.repeated, begun.state) == (True, True, "paid")
        assert counters.snapshot(ITEM).seq == s.seq

    def test_payment_cannot_begin_when_the_hold_has_ended(self, sale_redis):
        make_counters(hold=0)
        order_id = held()
        with pytest.raises(StepRefused, match="HOLD_ENDED"):
            counters.begin_payment(ITEM, epoch=1, order_id=order_id)

    @pytest.mark.parametrize("state", ["paused", "ended"])
    def test_payments_go_on_when_nobody_is_admitted_any_more(self, sale_redis, state):
        now = make_counters().now
        first, second = paying(), held()
        adjust(state=state, closes_at=now - 1)
        assert counters.confirm(ITEM, epoch=1, order_id=first).seq
        assert counters.begin_payment(ITEM, epoch=1, order_id=second).seq

    @pytest.mark.parametrize(
        ("step", "bring"),
        [
            ("begin_payment", released),
            ("begin_payment", refunded),
            ("confirm", held),
            ("confirm", released),
            ("confirm", refunded),
            ("release", paying),
            ("release", paid),
            ("release", refunded),
            ("refund", held),
            ("refund", paying),
            ("refund", released),
            ("reclaim", refunded),
        ],
    )
    def test_a_step_from_another_state_is_refused_and_changes_nothing(
        self, sale_redis, step, bring
    ):
        make_counters()
        order_id = bring()
        before = everything(sale_redis)

        with pytest.raises(StepRefused, match="WRONG_STATE") as refused:
            STEPS[step](order_id)

        assert refused.value.detail == counters.find(ITEM, order_id).state
        assert everything(sale_redis) == before

    @pytest.mark.parametrize("step", OF_A_CLAIM)
    def test_a_step_of_an_unknown_order_is_refused(self, sale_redis, step):
        make_counters()
        with pytest.raises(StepRefused, match="UNKNOWN"):
            STEPS[step]()


class TestRelease:
    def test_a_cancelled_claim_gives_its_units_back_once(self, sale_redis):
        make_counters(units=3)
        order_id = held(3)

        step = counters.release(ITEM, epoch=1, order_id=order_id, reason="cancelled")

        assert (step.left, step.flipped) == (3, True)
        assert STEPS["release"](order_id).repeated
        s = counters.snapshot(ITEM)
        assert (s.left, s.held, s.released) == (3, 0, 3)
        assert counters.buyers(ITEM) == {}

    def test_expiry_waits_for_the_end_of_the_hold(self, sale_redis):
        make_counters(hold=600)
        order_id = held()
        with pytest.raises(StepRefused, match="NOT_DUE"):
            counters.release(ITEM, epoch=1, order_id=order_id, reason="expired")

    def test_expiry_takes_a_hold_that_has_ended(self, sale_redis):
        make_counters(hold=0)
        order_id = held()
        counters.release(ITEM, epoch=1, order_id=order_id, reason="expired")
        assert counters.find(ITEM, order_id).state == "expired"

    def test_expiry_never_takes_a_claim_in_payment(self, sale_redis):
        make_counters()
        order_id = paying()
        for reason in ("expired", "cancelled"):
            with pytest.raises(StepRefused, match="WRONG_STATE"):
                counters.release(ITEM, epoch=1, order_id=order_id, reason=reason)
        counters.release(ITEM, epoch=1, order_id=order_id, reason="declined")
        s = counters.snapshot(ITEM)
        assert (s.left, s.paying) == (10, 0)

    def test_a_batch_of_releases_answers_for_each(self, sale_redis):
        make_counters(hold=0)
        due, gone, unknown = held(), released(), uuid4()
        in_payment = uuid4()

        answers = counters.release_many(
            ITEM, epoch=1, order_ids=[due, gone, unknown, in_payment], reason="expired"
        )

        assert [getattr(a, "repeated", None) for a in answers[:2]] == [False, True]
        assert [a.code for a in answers[2:]] == [Code.UNKNOWN, Code.UNKNOWN]
        assert counters.release_many(ITEM, epoch=1, order_ids=[], reason="x") == []


class TestReclaim:
    def test_a_released_claim_can_be_held_again(self, sale_redis):
        make_counters(units=2, limit=2)
        order_id = released(2)

        again = counters.reclaim(ITEM, epoch=1, order_id=order_id, target="held")

        assert (again.left, again.flipped, again.state) == (0, True, "held")
        s = counters.snapshot(ITEM)
        assert (s.left, s.held) == (0, 2)
        assert counters.buyers(ITEM) == {"g:alice": 2}
        repeated = counters.reclaim(ITEM, epoch=1, order_id=order_id, target="held")
        assert (repeated.replayed, repeated.state) == (True, "held")

    @pytest.mark.parametrize(
        ("change", "answer"),
        [
            ({"state": "paused"}, "paused"),
            ({"state": "ended"}, "ended"),
            ({"closes_at": 1}, "ended"),
            ({"opens_at": TRILLION * 9, "closes_at": TRILLION * 9 + 1}, "not_started"),
            ({"units": -9}, "sold_out"),
            ({"floor": 10}, "sold_out"),
            ({"limit": 1}, "limit_reached"),
        ],
    )
    def test_holding_again_obeys_the_sale_like_a_new_claim(
        self, sale_redis, change, answer
    ):
        make_counters()
        order_id = released(2)
        adjust(**change)
        with pytest.raises(ClaimRefused, match=answer):
            counters.reclaim(ITEM, epoch=1, order_id=order_id, target="held")

    def test_when_others_hold_all_it_may_come_back(self, sale_redis):
        make_counters(units=2)
        order_id = released(2)
        held(2, buyer="g:bob")
        for target in ("held", "paying"):
            with pytest.raises(ClaimRefused, match="all_held"):
                counters.reclaim(ITEM, epoch=1, order_id=order_id, target=target)

    def test_for_money_that_is_there_only_the_floor_counts(self, sale_redis):
        make_counters(units=5)
        order_id = released(2)
        adjust(state="ended", closes_at=1, limit=1)

        counters.reclaim(ITEM, epoch=1, order_id=order_id, target="paying")

        assert counters.find(ITEM, order_id).state == "paying"
        assert counters.snapshot(ITEM).paying == 2


class TestRefund:
    @pytest.mark.parametrize("restock", [True, False])
    def test_units_come_back_or_leave_the_sale(self, sale_redis, restock):
        make_counters(units=5)
        order_id = paid(5)

        step = counters.refund(ITEM, epoch=1, order_id=order_id, restock=restock)

        s = counters.snapshot(ITEM)
        assert (s.units, s.left, s.paid) == ((5, 5, 0) if restock else (0, 0, 0))
        assert step.flipped is restock
        assert counters.buyers(ITEM) == {}
        assert counters.refund(
            ITEM, epoch=1, order_id=order_id, restock=restock
        ).repeated


class TestAdjust:
    def test_units_floor_limit_window_and_state_change_in_one_step(self, sale_redis):
        s = make_counters(units=10)
        step = adjust(
            units=5, floor=2, limit=7, opens_at=5, closes_at=6, state="paused"
        )
        new = counters.snapshot(ITEM)
        assert (new.units, new.left, new.floor, new.limit) == (15, 15, 2, 7)
        assert (new.opens_at, new.closes_at, new.state) == (5, 6, "paused")
        assert (step.seq, new.seq, step.left) == (s.seq + 1, s.seq + 1, 13)

    def test_nothing_to_change_is_no_event(self, sale_redis):
        s = make_counters()
        assert adjust(limit=s.limit, floor=s.floor, state=s.state).repeated
        assert counters.snapshot(ITEM).seq == s.seq

    def test_a_change_with_a_ref_is_made_once(self, sale_redis):
        make_counters(units=10)
        first = adjust("a", units=3)
        assert adjust("a", units=3).repeated
        assert not first.repeated
        assert counters.snapshot(ITEM).units == 13

    def test_only_unclaimed_units_can_be_taken_back(self, sale_redis):
        make_counters(units=5)
        held(3)
        with pytest.raises(StepRefused, match="TOO_MANY 2"):
            adjust(units=-3)
        assert adjust(units=-2).left == 0

    @pytest.mark.parametrize(
        ("change", "flipped"),
        [({"floor": 5}, True), ({"floor": 4}, False), ({"units": -5}, True)],
    )
    def test_crossing_the_floor_is_told(self, sale_redis, change, flipped):
        make_counters(units=5)
        assert adjust(**change).flipped is flipped

    @pytest.mark.parametrize("state", ["frozen", "recovering"])
    def test_an_item_in_doubt_changes_only_for_recovery(self, sale_redis, state):
        make_counters()
        order_id = held()
        adjust(state=state)
        for name, step in STEPS.items():
            if name != "claim":
                with pytest.raises(NotLoaded):
                    step(order_id)
        with pytest.raises(NotLoaded):
            claim()
        adjust(state="frozen")  # closing further is allowed
        with pytest.raises(NotLoaded):
            adjust(state="open")
        adjust(state="open", verified=1)
        assert claim().seq
