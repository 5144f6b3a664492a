"""Claims, one by one and in batches, on a real Redis."""

from uuid import uuid4

import pytest

from sales import counters
from sales.counters import Claim, ClaimRefused, WrongEpoch
from tests.factories import make_counters
from tests.sales.counters.steps import (
    ITEM,
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

        with counters.patience(60):
            answers = counters.claim_many(ITEM, epoch=1, claims=wanted)

        assert [a.left for a in answers] == list(range(9_999, -1, -1))
        s = counters.snapshot(ITEM)
        assert (s.left, s.held, s.claims, s.buyers) == (0, 10_000, 10_000, 10_000)
