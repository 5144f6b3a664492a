"""Every answer of every script, on a real Redis."""

import signal
from uuid import uuid4

import pytest

from sales import counters
from sales.counters import (
    Claim,
    ClaimRefused,
    Code,
    NotLoaded,
    StepRefused,
    Unreachable,
    Unsure,
    WrongEpoch,
)
from tests.factories import make_counters
from tests.threads import run_at_once

pytestmark = pytest.mark.redis

ITEM = 1
TRILLION = 10**12


def claim(quantity=1, *, buyer="g:alice", order_id=None, epoch=1):
    return counters.claim(
        ITEM, epoch=epoch, order_id=order_id or uuid4(), buyer=buyer, quantity=quantity
    )


def held(quantity=1, **fields):
    """The id of a new held claim."""
    order_id = uuid4()
    claim(quantity, order_id=order_id, **fields)
    return order_id


def paying(quantity=1, **fields):
    order_id = held(quantity, **fields)
    counters.begin_payment(ITEM, epoch=1, order_id=order_id)
    return order_id


def paid(quantity=1, **fields):
    order_id = paying(quantity, **fields)
    counters.confirm(ITEM, epoch=1, order_id=order_id)
    return order_id


def released(quantity=1, **fields):
    order_id = held(quantity, **fields)
    counters.release(ITEM, epoch=1, order_id=order_id, reason="cancelled")
    return order_id


def refunded(quantity=1, *, restock=True, **fields):
    order_id = paid(quantity, **fields)
    counters.refund(ITEM, epoch=1, order_id=order_id, restock=restock)
    return order_id


def adjust(ref="", **changes):
    return counters.adjust(ITEM, epoch=1, ref=ref, **changes)


# Each step of a claim or an item, as its callers make it.
STEPS = {
    "claim": lambda order_id=None, epoch=1: claim(order_id=order_id, epoch=epoch),
    "begin_payment": lambda order_id=None, epoch=1: counters.begin_payment(
        ITEM, epoch=epoch, order_id=order_id or uuid4()
    ),
    "confirm": lambda order_id=None, epoch=1: counters.confirm(
        ITEM, epoch=epoch, order_id=order_id or uuid4()
    ),
    "release": lambda order_id=None, epoch=1: counters.release(
        ITEM, epoch=epoch, order_id=order_id or uuid4(), reason="cancelled"
    ),
    "refund": lambda order_id=None, epoch=1: counters.refund(
        ITEM, epoch=epoch, order_id=order_id or uuid4(), restock=True
    ),
    "reclaim": lambda order_id=None, epoch=1: counters.reclaim(
        ITEM, epoch=epoch, order_id=order_id or uuid4(), target="held"
    ),
    "adjust": lambda order_id=None, epoch=1: counters.adjust(
        ITEM, epoch=epoch, limit=3
    ),
}
OF_A_CLAIM = sorted(STEPS.keys() - {"adjust", "claim"})
each_step = pytest.mark.parametrize("step", sorted(STEPS))


def everything(redis):
    """All that Redis holds of the item, to compare before and after."""
    kinds = {"hash": redis.hgetall, "stream": redis.xrange, "none": lambda key: None}
    return {key: kinds[redis.type(key)](key) for key in counters.keys(ITEM)}


class TestClaim:
    def test_an_admitted_claim_is_numbered_held_and_counted(self, sale_redis):
        before = make_counters(units=10, floor=2)
        order_id = uuid4()

        admitted = claim(3, order_id=order_id)

        s = counters.snapshot(ITEM)
        assert (admitted.seq, admitted.left, admitted.flipped) == (s.seq, 5, False)
        assert admitted.expires_at in range(
            before.now + before.hold_ms, s.now + s.hold_ms + 1
        )
        assert (s.left, s.held, s.seq, s.claims) == (7, 3, before.seq + 1, 1)
        assert counters.buyers(ITEM) == {"g:alice": 3}
        stored = counters.find(ITEM, order_id)
        assert (stored.state, stored.buyer, stored.quantity) == ("held", "g:alice", 3)
        event = counters.event(ITEM, s.seq)
        assert event.fields["event"] == "claim"
        assert event.fields["order_id"] == str(order_id)

    def test_the_claim_that_takes_the_last_unit_over_the_floor_says_so(
        self, sale_redis
    ):
        make_counters(units=5, floor=2)
        assert [claim().flipped for _ in range(3)] == [False, False, True]

    @pytest.mark.parametrize(
        ("bring", "state"),
        [
            (held, "held"),
            (paying, "paying"),
            (paid, "paid"),
            (released, "cancelled"),
            (refunded, "refunded"),
        ],
    )
    @pytest.mark.parametrize("sale_state", ["open", "paused", "ended"])
    def test_a_known_id_gets_its_first_answer_in_any_state(
        self, sale_redis, bring, state, sale_state
    ):
        make_counters(limit=3)
        order_id = bring(3)
        first = counters.find(ITEM, order_id)
        adjust(state=sale_state)
        before = everything(sale_redis)

        again = claim(3, order_id=order_id)

        assert (again.replayed, again.state) == (True, state)
        assert (again.seq, again.left, again.expires_at, again.flipped) == (
            first.seq,
            first.left,
            first.expires_at,
            first.flipped,
        )
        assert everything(sale_redis) == before

    @pytest.mark.parametrize("other", [{"quantity": 2}, {"buyer": "g:bob"}])
    def test_a_known_id_with_other_content_is_a_conflict(self, sale_redis, other):
        make_counters()
        order_id = held(1)
        with pytest.raises(ClaimRefused, match="conflict"):
            claim(**{"quantity": 1, "order_id": order_id, **other})

    def test_nothing_is_sold_below_the_floor(self, sale_redis):
        make_counters(units=5, floor=2)
        with pytest.raises(ClaimRefused, match="sold_out") as refused:
            claim(4)
        assert refused.value.left == 3
        assert claim(3).left == 0

    def test_all_held_is_told_apart_from_sold_out(self, sale_redis):
        make_counters(units=4, floor=1)
        order_id = held(3)
        with pytest.raises(ClaimRefused, match="all_held"):
            claim(1)
        with pytest.raises(ClaimRefused, match="sold_out"):
            claim(4)  # so many never come back

        counters.begin_payment(ITEM, epoch=1, order_id=order_id)
        with pytest.raises(ClaimRefused, match="all_held"):
            claim(1)
        counters.confirm(ITEM, epoch=1, order_id=order_id)
        with pytest.raises(ClaimRefused, match="sold_out"):
            claim(1)

    def test_the_limit_counts_all_a_buyer_owns_in_the_sale(self, sale_redis):
        make_counters(limit=4)
        held(1)
        paid(2)
        with pytest.raises(ClaimRefused, match="limit_reached") as refused:
            claim(2)
        assert refused.value.detail == 1
        claim(1)
        claim(4, buyer="g:bob")

    @pytest.mark.parametrize("give_back", [released, refunded])
    def test_what_a_buyer_gave_back_does_not_count(self, sale_redis, give_back):
        make_counters(limit=3)
        give_back(3)
        assert claim(3).seq

    def test_the_window_is_half_open_and_by_the_time_of_redis(self, sale_redis):
        now = make_counters().now
        for window, answer in {
            (now + 5_000, now + 60_000): "not_started",
            (now - 60_000, now - 1): "ended",
            (now - 60_000, now + 60_000): None,
        }.items():
            adjust(opens_at=window[0], closes_at=window[1])
            if answer is None:
                assert claim().seq
                continue
            with pytest.raises(ClaimRefused, match=answer) as refused:
                claim()
            if answer == "not_started":
                assert refused.value.detail == window[0]

    @pytest.mark.parametrize("state", ["paused", "ended"])
    def test_a_paused_or_ended_sale_says_so(self, sale_redis, state):
        make_counters(state=state)
        with pytest.raises(ClaimRefused, match=state):
            claim()

    def test_the_checks_come_in_their_order(self, sale_redis):
        now = make_counters(units=2, limit=1, state="paused").now
        order_id = held_before = None
        adjust(state="open")
        order_id = held_before = held(1)
        adjust(state="paused", closes_at=now - 1)
        with pytest.raises(WrongEpoch):
            claim(2, order_id=held_before, epoch=7)  # before replay and conflict
        with pytest.raises(ClaimRefused, match="conflict"):
            claim(2, order_id=order_id)  # before the state
        with pytest.raises(ClaimRefused, match="paused"):
            claim(5)  # before the window
        adjust(state="open")
        with pytest.raises(ClaimRefused, match="ended"):
            claim(5)  # before the floor
        adjust(closes_at=now + 60_000)
        with pytest.raises(ClaimRefused, match="sold_out"):
            claim(5)  # before the limit
        with pytest.raises(ClaimRefused, match="limit_reached"):
            claim(1)

    @pytest.mark.parametrize("quantity", [0, -1, 1_000_001])
    def test_an_impossible_quantity_is_not_even_sent(self, sale_redis, quantity):
        with pytest.raises(ValueError, match="not a quantity"):
            claim(quantity)

    @pytest.mark.parametrize("buyer", ["", "a|b", "a b", "x" * 65, "_epoch\n"])
    def test_a_buyer_that_could_be_read_otherwise_is_not_sent(self, sale_redis, buyer):
        with pytest.raises(ValueError, match="not a buyer"):
            claim(buyer=buyer)


class TestBatch:
    def wanted(self):
        """A batch in which every answer occurs, also a repeat within the batch."""
        ids = [uuid4() for _ in range(8)]
        return [
            Claim(ids[0], "g:a", 2),
            Claim(ids[0], "g:a", 2),
            Claim(ids[0], "g:a", 1),
            Claim(ids[1], "g:a", 2),
            Claim(ids[2], "g:b", 9),
            Claim(ids[3], "g:b", 3),
            Claim(ids[4], "g:c", 3),
            Claim(ids[5], "g:d", 1),
            Claim(ids[6], "g:e", 1),
            Claim(ids[1], "g:a", 1),
        ]

    @staticmethod
    def answer(outcome):
        if isinstance(outcome, Exception):
            return (type(outcome), outcome.code, getattr(outcome, "detail", None))
        return (outcome.seq, outcome.left, outcome.flipped, outcome.replayed)

    def test_a_batch_answers_and_leaves_what_single_claims_do(self, sale_redis):
        wanted = self.wanted()
        for item_id in (1, 2):
            make_counters(item_id, units=7, floor=1, limit=3, hold=600)
        singles = []
        for each in wanted:
            try:
                singles.append(
                    counters.claim(
                        1,
                        epoch=1,
                        order_id=each.order_id,
                        buyer=each.buyer,
                        quantity=each.quantity,
                    )
                )
            except ClaimRefused as refused:
                singles.append(refused)

        batch = counters.claim_many(2, epoch=1, claims=wanted)

        assert [self.answer(o) for o in batch] == [self.answer(o) for o in singles]
        one, two = counters.snapshot(1), counters.snapshot(2)
        for field in ("seq", "left", "held", "claims", "buyers", "events"):
            assert getattr(one, field) == getattr(two, field)
        assert counters.buyers(1) == counters.buyers(2)
        codes = {getattr(o, "code", "admitted") for o in batch}
        assert codes == {"admitted", "conflict", "sold_out", "limit_reached"} | {
            "all_held"
        }

    def test_a_batch_of_ten_thousand_is_written_whole(self, sale_redis):
        make_counters(units=10_000, limit=1)
        wanted = [Claim(uuid4(), f"g:{n}", 1) for n in range(10_000)]

        with counters.patience(5):
            answers = counters.claim_many(ITEM, epoch=1, claims=wanted)

        assert [a.left for a in answers] == list(range(9_999, -1, -1))
        s = counters.snapshot(ITEM)
        assert (s.left, s.held, s.claims, s.buyers) == (0, 10_000, 10_000, 10_000)


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
        make_counters(hold=1)
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


class TestLost:
    """Missing keys are NotLoaded: never sold out, never zero."""

    @each_step
    @pytest.mark.parametrize("lost", range(4))
    def test_without_any_one_of_its_keys_an_item_does_nothing(
        self, sale_redis, step, lost
    ):
        make_counters()
        order_id = held()
        sale_redis.delete(counters.keys(ITEM)[lost])
        before = everything(sale_redis)

        with pytest.raises(NotLoaded):
            STEPS[step](None if step == "claim" else order_id)
        with pytest.raises(NotLoaded):
            counters.find(ITEM, order_id)

        assert everything(sale_redis) == before

    @pytest.mark.parametrize("field", counters.META_FIELDS)
    def test_without_a_field_of_meta_nobody_is_admitted(self, sale_redis, field):
        make_counters()
        sale_redis.hdel(counters.keys(ITEM)[0], field)
        with pytest.raises(NotLoaded):
            counters.snapshot(ITEM)
        assert counters.snapshots([ITEM]) == {}
        if field in ("units", "paid", "released"):
            return  # no claim reads these; recovery misses them
        with pytest.raises(NotLoaded):
            claim()

    @each_step
    @pytest.mark.parametrize("key", range(4))
    def test_a_key_of_a_wrong_type_is_not_loaded_and_no_error(
        self, sale_redis, step, key
    ):
        make_counters()
        order_id = held()
        sale_redis.set(counters.keys(ITEM)[key], "oops")
        # What a held claim does not allow is refused before the stream is written.
        refused = key == 3 and step in ("confirm", "refund")
        if (key, step) == (3, "reclaim"):
            assert STEPS[step](order_id).replayed
        else:
            with pytest.raises(StepRefused if refused else NotLoaded):
                STEPS[step](None if step == "claim" else order_id)
        with pytest.raises(NotLoaded):
            counters.snapshot(ITEM)

    def test_a_number_that_somebody_else_took_is_not_loaded(self, sale_redis):
        s = make_counters()
        sale_redis.xadd(counters.keys(ITEM)[3], {"event": "?"}, id=f"{s.seq + 1}-0")
        with pytest.raises(NotLoaded, match="ID specified"):
            claim()
        assert counters.snapshot(ITEM).left == s.left

    @each_step
    def test_another_epoch_is_refused(self, sale_redis, step):
        make_counters(epoch=2)
        with pytest.raises(WrongEpoch):
            STEPS[step](epoch=1)

    def test_counters_nobody_loaded_are_not_loaded(self, sale_redis):
        with pytest.raises(NotLoaded):
            claim()
        with pytest.raises(NotLoaded):
            counters.snapshot(ITEM)
        assert counters.snapshots([ITEM]) == {}
        assert sale_redis.dbsize() == 0


class TestFence:
    @each_step
    def test_without_its_scripts_a_node_does_nothing(self, sale_redis, step):
        make_counters()
        sale_redis.script_flush()
        with pytest.raises(NotLoaded, match="not verified"):
            STEPS[step]()
        with pytest.raises(NotLoaded, match="not verified"):
            counters.find(ITEM, uuid4())
        (answer,) = counters.release_many(
            ITEM, epoch=1, order_ids=[uuid4()], reason="expired"
        )
        assert isinstance(answer, NotLoaded)

    def test_no_call_ever_opens_the_fence(self, sale_redis):
        sale_redis.script_flush()
        make_counters()
        counters.snapshot(ITEM)
        counters.snapshots([ITEM])
        counters.adjust(ITEM, epoch=1, verified=1, fenced=False, state="recovering")
        counters.restore(ITEM, epoch=1, claims=[])
        for step in STEPS.values():
            with pytest.raises(NotLoaded):
                step()

        fenced = counters.SHAS.keys() - counters.UNFENCED
        assert not any(
            sale_redis.script_exists(*(counters.SHAS[name] for name in fenced))
        )
        assert not counters.has_scripts(ITEM)

    def test_a_witness_opens_the_fence(self, sale_redis):
        sale_redis.script_flush()
        witness = counters.Witness(ITEM)
        witness.load_scripts()
        witness.close()
        assert counters.has_scripts(ITEM)
        counters.flush_scripts()
        assert not counters.has_scripts(ITEM)

    def test_a_witness_of_a_server_that_restarted_opens_nothing(self, own_sale_redis):
        counters.flush_scripts()
        witness = counters.Witness(ITEM)
        own_sale_redis.kill()
        own_sale_redis.start()

        with pytest.raises(Unsure):
            witness.load_scripts()

        counters.disconnect()
        assert not counters.has_scripts(ITEM)

    def test_redis_forgets_scripts_when_it_restarts(self, own_sale_redis):
        make_counters()
        own_sale_redis.kill()
        own_sale_redis.start()
        counters.disconnect()
        assert counters.snapshot(ITEM).left == 10
        with pytest.raises(NotLoaded, match="not verified"):
            claim()


class TestServer:
    """What a caller is told when the server is slow, gone, full or a replica."""

    @pytest.fixture(autouse=True)
    def _impatient(self, settings):
        settings.SALE_REDIS_TIMEOUT_MS = 300

    def test_a_lost_answer_is_unsure_and_never_sent_again(self, own_sale_redis):
        make_counters(units=10)
        order_id = uuid4()
        own_sale_redis._process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unsure):
                claim(2, order_id=order_id)
        finally:
            own_sale_redis._process.send_signal(signal.SIGCONT)

        again = claim(2, order_id=order_id)  # asked again by its id

        s = counters.snapshot(ITEM)
        assert (s.left, s.held, s.claims) == (8, 2, 1)
        assert again.replayed

    def test_after_a_time_out_the_next_answer_is_ones_own(self, own_sale_redis):
        make_counters(units=10)
        own_sale_redis._process.send_signal(signal.SIGSTOP)
        with pytest.raises(Unsure):
            claim(2, buyer="g:bob")
        own_sale_redis._process.send_signal(signal.SIGCONT)
        assert counters.snapshot(ITEM).units == 10
        assert claim(1).expires_at

    def test_a_server_that_is_gone_is_unreachable(self, own_sale_redis):
        make_counters()
        own_sale_redis.kill()
        with pytest.raises(Unsure):
            claim()  # it may have died after it had decided
        with pytest.raises(Unreachable):
            claim()

    def test_a_server_without_memory_is_not_loaded_and_writes_nothing(
        self, own_sale_redis
    ):
        make_counters()
        redis = counters.client()
        before = everything(redis)
        redis.config_set("maxmemory", 1)
        with pytest.raises(NotLoaded):
            claim()
        redis.config_set("maxmemory", 0)
        assert everything(redis) == before
        assert claim().seq

    def test_a_replica_is_not_loaded(self, own_sale_redis):
        make_counters()
        counters.client().replicaof("127.0.0.1", "1")
        with pytest.raises(NotLoaded):
            claim()

    def test_a_replica_without_its_master_is_not_loaded(self, own_sale_redis):
        make_counters()
        redis = counters.client()
        redis.config_set("replica-serve-stale-data", "no")
        redis.replicaof("127.0.0.1", "1")
        with pytest.raises(NotLoaded):
            claim()

    def test_each_thread_has_a_connection_of_its_own(self, sale_redis):
        make_counters(units=200, limit=200)

        def buy(number):
            try:
                return counters.client().client_id(), claim(1).seq
            finally:
                counters.disconnect()

        answers = run_at_once(buy, range(8))
        assert len({connection for connection, _ in answers}) == 8
        assert len({seq for _, seq in answers}) == 8


class TestNumbers:
    def test_numbers_are_never_written_with_an_exponent(self, sale_redis):
        million = 1_000_000
        make_counters(
            units=million * 1000, limit=million * 10, seq=TRILLION * 10, hold=million
        )
        admitted = claim(million)
        second = paid(million)
        released(million)
        counters.refund(ITEM, epoch=1, order_id=second, restock=False)
        adjust(units=million * 100, floor=million * 3, closes_at=TRILLION * 9)

        s = counters.snapshot(ITEM)
        assert s.seq == TRILLION * 10 + 9
        assert admitted.seq == TRILLION * 10 + 2
        assert s.units == million * 1099
        texts = str(everything(sale_redis)).lower()
        assert "e+" not in texts
        assert ".0" not in texts
        assert counters.event(ITEM, s.seq).fields["closes_at"] == str(TRILLION * 9)


class TestPreload:
    def test_the_same_epoch_again_changes_nothing(self, sale_redis):
        make_counters(units=10)
        held(3)
        before = everything(sale_redis)
        make_counters(units=10)
        assert everything(sale_redis) == before

    def test_another_epoch_is_refused(self, sale_redis):
        make_counters(epoch=1)
        with pytest.raises(WrongEpoch):
            make_counters(epoch=2)

    @pytest.mark.parametrize("leftover", range(1, 4))
    def test_any_leftover_key_is_a_conflict(self, sale_redis, leftover):
        sale_redis.set(counters.keys(ITEM)[leftover], "old")
        with pytest.raises(StepRefused, match="CONFLICT"):
            make_counters()

    def test_it_continues_the_numbers(self, sale_redis):
        assert make_counters(seq=41).seq == 42
        assert claim().seq == 43


class TestRestore:
    def test_claims_are_put_back_only_during_recovery(self, sale_redis):
        make_counters(state="recovering", held=2, left=8)
        stored = counters.StoredClaim("held", "g:bob", 2, TRILLION, 5, 3, True)
        gone = counters.StoredClaim("expired", "g:bob", 4, TRILLION, 6, 3, False)
        ids = [uuid4(), uuid4()]
        for _ in range(2):  # a repeat adds nothing
            counters.restore(ITEM, epoch=1, claims=[(ids[0], stored), (ids[1], gone)])
            counters.restore_buyers(ITEM, epoch=1, owned={"g:bob": 2})
        with pytest.raises(NotLoaded):
            counters.find(ITEM, ids[0])
        with pytest.raises(WrongEpoch):
            counters.restore(ITEM, epoch=2, claims=[])
        with pytest.raises(WrongEpoch):
            counters.restore_buyers(ITEM, epoch=2, owned={})
        adjust(state="open", verified=1)

        assert dict(counters.claims(ITEM)) == {ids[0]: stored, ids[1]: gone}
        assert counters.buyers(ITEM) == {"g:bob": 2}
        with pytest.raises(NotLoaded):
            counters.restore(ITEM, epoch=1, claims=[(uuid4(), stored)])
        assert claim(2, buyer="g:bob", order_id=ids[0]).left == 3


class TestReading:
    def test_a_snapshot_counts_claims_buyers_and_events(self, sale_redis):
        make_counters()
        held()
        paid(buyer="g:bob")
        s = counters.snapshot(ITEM)
        assert (s.claims, s.buyers, s.events, s.last_id) == (2, 2, 5, f"{s.seq}-0")
        assert s.is_whole
        assert s.sellable == 8

    def test_snapshots_leaves_out_what_is_not_loaded(self, sale_redis):
        make_counters(1)
        make_counters(3, floor=20)
        found = counters.snapshots([1, 2, 3])
        assert found.keys() == {1, 3}
        assert found[3].sellable == 0
        assert found[1].now > 0
        assert counters.snapshots([]) == {}

    def test_a_damaged_item_does_not_hide_the_others(self, sale_redis):
        for item_id in (1, 2, 3):
            make_counters(item_id)
        sale_redis.set(counters.keys(1)[0], "oops")
        sale_redis.hset(counters.keys(2)[0], "left", "many")
        assert counters.snapshots([1, 2, 3]).keys() == {3}

    def test_events_come_in_order_and_in_portions(self, sale_redis):
        make_counters()
        for _ in range(4):
            held()
        assert [e.seq for e in counters.events(ITEM, after=1, limit=2)] == [2, 3]
        assert [e.seq for e in counters.events(ITEM, after=3, limit=9)] == [4, 5]
        assert counters.event(ITEM, 9) is None
        assert counters.event(ITEM, 3).id == "3-0"

    def test_an_event_that_is_no_text_can_still_be_read(self, sale_redis):
        make_counters()
        sale_redis.xadd(counters.keys(ITEM)[3], {"event": b"\xff\xfe"}, id="2-0")
        (event,) = counters.events(ITEM, after=1, limit=1)
        assert event.fields["event"] == "\\xff\\xfe"

    def test_deleting_leaves_nothing(self, sale_redis):
        make_counters()
        counters.delete(ITEM)
        assert sale_redis.dbsize() == 0


class TestJournal:
    @pytest.fixture(autouse=True)
    def _empty(self):
        counters.drop_journal(ITEM)
        yield
        counters.drop_journal(ITEM)

    def note(self):
        order_id = uuid4()
        admitted = claim(2, order_id=order_id)
        stored = admitted.stored(buyer="g:alice", quantity=2)
        counters.journal(ITEM, order_id, stored, epoch=1)
        return order_id, stored

    def test_a_noted_claim_outlives_the_sale_redis(self, sale_redis):
        make_counters()
        order_id, stored = self.note()
        sale_redis.flushall()
        assert counters.journaled(ITEM) == {order_id: stored}

    def test_what_is_drained_is_forgotten(self, sale_redis):
        make_counters()
        first, second = self.note()[0], self.note()[0]
        counters.forget_journal(ITEM, [str(first)])
        counters.forget_journal(ITEM, [])
        assert counters.journaled(ITEM).keys() == {second}

    def test_no_note_is_taken_after_recovery_has_begun_to_read(self, sale_redis):
        make_counters()
        order_id, stored = self.note()
        counters.close_journal(ITEM, 1)

        with pytest.raises(Unsure):
            self.note()

        assert counters.journaled(ITEM).keys() == {order_id}
        second = uuid4()
        counters.journal(ITEM, second, stored, epoch=2)
        assert counters.journaled(ITEM).keys() == {order_id, second}

    def test_a_journal_that_is_gone_refuses_nobody(
        self, sale_redis, settings, tmp_path
    ):
        make_counters()
        settings.QUEUE_REDIS_URL = f"unix://{tmp_path}/nobody.sock"
        order_id, _ = self.note()
        counters.forget_journal(ITEM, [str(order_id)])
        counters.drop_journal(ITEM)
        assert counters.journaled(ITEM) == {}


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
