"""The scripts against a small model in Python, over thousands of random steps.

After each step the answers are the same, Redis holds what the model holds, and
invariants 1 to 5 hold, with a fold of the events in PostgreSQL's place.
"""

from dataclasses import dataclass
from itertools import count
from uuid import UUID

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sales import counters
from sales.counters import (
    Admitted,
    Claim,
    ClaimRefused,
    Code,
    NotLoaded,
    StepRefused,
    WrongEpoch,
)
from sales.folding import Entry, Fold
from tests.factories import make_counters

pytestmark = pytest.mark.redis

ITEM = 1
REFS = [str(UUID(int=number)) for number in (101, 102)]
STILL_OPEN = ("held", "paying")
BY_WORD = {word: code for code, word in counters.REFUSALS.items()}

orders = st.integers(0, 15).map(lambda number: UUID(int=number))
buyers = st.sampled_from(["g:a", "g:b", "g:c"])
quantities = st.integers(1, 4)
epochs = st.sampled_from([1] * 12 + [2])


@dataclass
class Owned:
    """A claim as the model has it; `is_due`: its hold has ended."""

    state: str
    buyer: str
    quantity: int
    is_due: bool
    first: tuple


def code_of(call):
    """What a call was answered, as a Code."""
    try:
        answer = call()
    except WrongEpoch:
        return Code.WRONG_EPOCH
    except NotLoaded:
        return Code.NOT_LOADED
    except ClaimRefused as refused:
        return BY_WORD[refused.code]
    except StepRefused as refused:
        return refused.code
    repeated = answer.replayed if isinstance(answer, Admitted) else answer.repeated
    return Code.REPEATED if repeated else Code.DONE


class Machine(RuleBasedStateMachine):
    seen: set[Code] = set()
    steps = 0

    @initialize(
        units=st.integers(1, 12), floor=st.integers(0, 3), limit=st.integers(1, 9)
    )
    def load(self, units, floor, limit):
        self.redis = counters.client()
        self.redis.delete(*counters.keys(ITEM))
        make_counters(ITEM, units=units, floor=floor, limit=limit)
        self.units = self.left = units
        self.floor, self.limit, self.waiting = floor, limit, 0
        self.state, self.window, self.ends_at_once = "open", "open", False
        self.held = self.paying = self.paid = self.released = 0
        self.claims, self.refs = {}, set()
        self.seq = 1
        self.fold, self.last_seq = Fold(), 0
        self.only_claims_since = self.left >= self.floor
        self.within_limit = True

    # -- What the scripts should do ------------------------------------------------

    def expect(self, code, call):
        answered = code_of(call)
        assert answered == code, (answered.name, code.name)
        Machine.seen.add(answered)
        Machine.steps += 1
        if answered == Code.DONE:
            self.seq += 1

    def owned(self, buyer):
        kept = ("held", "paying", "paid")
        return sum(
            c.quantity
            for c in self.claims.values()
            if c.buyer == buyer and c.state in kept
        )

    def admission(
        self, buyer, quantity, *, for_money=False, for_line=False, inside=False
    ):
        """Why a claim gets nothing, or DONE."""
        if not for_money:
            if self.state not in ("open", "room"):
                return {"paused": Code.PAUSED, "ended": Code.ENDED}[self.state]
            if self.window != "open":
                return {"before": Code.NOT_STARTED, "after": Code.ENDED}[self.window]
        if self.left - quantity < self.floor:
            back = self.left + self.held + self.paying - quantity >= self.floor
            return Code.ALL_HELD if back else Code.SOLD_OUT
        if not (for_money or for_line) and self.left - quantity < self.kept_from:
            return Code.ALL_HELD
        if self.state == "room" and not (for_money or for_line or inside):
            return Code.WAITING_ROOM
        if not for_money and self.owned(buyer) + quantity > self.limit:
            return Code.LIMIT
        return Code.DONE

    @property
    def kept_from(self):
        """What is left must not fall below it, for ordinary claims."""
        return self.floor + self.waiting

    def answer_to_claim(
        self, order_id, buyer, quantity, *, for_line=False, inside=False
    ):
        known = self.claims.get(order_id)
        if known:
            same = (known.buyer, known.quantity) == (buyer, quantity)
            return Code.REPEATED if same else Code.CONFLICT
        if self.state in ("frozen", "recovering"):
            return Code.NOT_LOADED
        return self.admission(buyer, quantity, for_line=for_line, inside=inside)

    def take(self, order_id, buyer, quantity, *, for_line=False):
        self.left -= quantity
        self.held += quantity
        left = self.left - (self.floor if for_line else self.kept_from)
        self.claims[order_id] = Owned(
            "held", buyer, quantity, self.ends_at_once, (left,)
        )

    def guarded(self, epoch, code):
        """The code, unless the item is in doubt or the epoch is another."""
        if self.state in ("frozen", "recovering"):
            return Code.NOT_LOADED
        return Code.WRONG_EPOCH if epoch != 1 else code

    # -- Steps of claims -----------------------------------------------------------

    @rule(
        order_id=orders,
        buyer=buyers,
        quantity=quantities,
        epoch=epochs,
        inside=st.booleans(),
    )
    def claim(self, order_id, buyer, quantity, epoch, inside=False):
        code = (
            Code.WRONG_EPOCH
            if epoch != 1
            else self.answer_to_claim(order_id, buyer, quantity, inside=inside)
        )
        answers = []
        self.expect(
            code,
            lambda: (
                answers.append(
                    counters.claim(
                        ITEM,
                        epoch=epoch,
                        order_id=order_id,
                        buyer=buyer,
                        quantity=quantity,
                        inside=inside,
                    )
                )
                or answers[0]
            ),
        )
        if code == Code.DONE:
            self.take(order_id, buyer, quantity)
        if answers:
            first = self.claims[order_id]
            assert answers[0].left == first.first[0]
            assert answers[0].state == first.state or not answers[0].replayed

    @rule(order_id=orders, epoch=epochs)
    def claim_repeated(self, order_id, epoch):
        if known := self.claims.get(order_id):
            self.claim(order_id, known.buyer, known.quantity, epoch)

    @rule(batch=st.lists(st.tuples(orders, buyers, quantities), max_size=5))
    def claim_many(self, batch):
        answers = counters.claim_many(
            ITEM, epoch=1, claims=[Claim(*wanted) for wanted in batch]
        )
        for wanted, answer in zip(batch, answers, strict=True):
            code = self.answer_to_claim(*wanted)

            def said(answer=answer):
                if isinstance(answer, Exception):
                    raise answer
                return answer

            self.expect(code, said)
            if code == Code.DONE:
                self.take(*wanted)

    @rule(wanted=st.tuples(orders, buyers, quantities), is_due=st.booleans())
    def offer(self, wanted, is_due):
        """To the first in line; it holds as long as it says, not as others do."""
        offer_ms = 0 if is_due else 600_000
        (answer,) = counters.claim_many(
            ITEM, epoch=1, claims=[Claim(*wanted)], offer_ms=offer_ms
        )
        code = self.answer_to_claim(*wanted, for_line=True)

        def said():
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.expect(code, said)
        if code == Code.DONE:
            self.take(*wanted, for_line=True)
            self.claims[wanted[0]].is_due = is_due
            assert answer.left == self.claims[wanted[0]].first[0]

    @rule(units=st.integers(0, 6), epoch=epochs)
    def keep_for_line(self, units, epoch):
        code = Code.REPEATED if units == self.waiting else Code.DONE
        self.expect(
            Code.WRONG_EPOCH if epoch != 1 else code,
            lambda: counters.keep_for_line(ITEM, epoch=epoch, units=units),
        )
        if epoch == 1:
            self.waiting = units
            self.seq -= code == Code.DONE  # it writes no event

    @rule()
    def lose_the_line(self):
        """As in counters that were loaded before there were waiting lists."""
        self.redis.hdel(counters.keys(ITEM)[0], "waiting")
        self.waiting = 0

    @rule(order_id=orders, epoch=epochs)
    def begin_payment(self, order_id, epoch):
        claim = self.claims.get(order_id)
        if claim is None:
            code = Code.UNKNOWN
        elif claim.state in ("paying", "paid"):
            code = Code.REPEATED
        elif claim.state != "held":
            code = Code.WRONG_STATE
        else:
            code = Code.HOLD_ENDED if claim.is_due else Code.DONE
        code = self.guarded(epoch, code)
        self.expect(
            code, lambda: counters.begin_payment(ITEM, epoch=epoch, order_id=order_id)
        )
        if code == Code.DONE:
            self.move(claim, "paying")

    @rule(order_id=orders, epoch=epochs)
    def confirm(self, order_id, epoch):
        claim = self.claims.get(order_id)
        if claim is None:
            code = Code.UNKNOWN
        else:
            answers = {"paid": Code.REPEATED, "paying": Code.DONE}
            code = answers.get(claim.state, Code.WRONG_STATE)
        code = self.guarded(epoch, code)
        self.expect(
            code, lambda: counters.confirm(ITEM, epoch=epoch, order_id=order_id)
        )
        if code == Code.DONE:
            self.move(claim, "paid")

    @rule(
        order_id=orders,
        epoch=epochs,
        reason=st.sampled_from(["expired", "cancelled", "declined"]),
    )
    def release(self, order_id, epoch, reason):
        claim = self.claims.get(order_id)
        wanted = "paying" if reason == "declined" else "held"
        if claim is None:
            code = Code.UNKNOWN
        elif claim.state in ("expired", "cancelled"):
            code = Code.REPEATED
        elif claim.state != wanted:
            code = Code.WRONG_STATE
        elif reason == "expired" and not claim.is_due:
            code = Code.NOT_DUE
        else:
            code = Code.DONE
        code = self.guarded(epoch, code)
        self.expect(
            code,
            lambda: counters.release(
                ITEM, epoch=epoch, order_id=order_id, reason=reason
            ),
        )
        if code == Code.DONE:
            self.move(claim, "expired" if reason == "expired" else "cancelled")
            self.left += claim.quantity
            self.released += claim.quantity

    @rule(
        order_id=orders,
        epoch=epochs,
        wanted=st.sampled_from(["held", "paying"]),
        inside=st.booleans(),
    )
    def reclaim(self, order_id, epoch, wanted, inside=False):
        claim = self.claims.get(order_id)
        if claim is None:
            code = Code.UNKNOWN
        elif claim.state == "refunded":
            code = Code.WRONG_STATE
        elif claim.state not in ("expired", "cancelled"):
            code = Code.REPEATED
        elif self.state in ("frozen", "recovering"):
            code = Code.NOT_LOADED
        else:
            code = self.admission(
                claim.buyer,
                claim.quantity,
                for_money=wanted == "paying",
                inside=inside,
            )
        code = self.guarded(epoch, code)
        self.expect(
            code,
            lambda: counters.reclaim(
                ITEM, epoch=epoch, order_id=order_id, target=wanted, inside=inside
            ),
        )
        if code == Code.DONE:
            self.move(claim, wanted)
            self.left -= claim.quantity
            claim.is_due = self.ends_at_once
            if self.owned(claim.buyer) > self.limit:
                self.within_limit = False  # money that is there beats the limit

    @rule(order_id=orders, epoch=epochs, restock=st.booleans())
    def refund(self, order_id, epoch, restock):
        claim = self.claims.get(order_id)
        if claim is None:
            code = Code.UNKNOWN
        else:
            answers = {"refunded": Code.REPEATED, "paid": Code.DONE}
            code = answers.get(claim.state, Code.WRONG_STATE)
        code = self.guarded(epoch, code)
        self.expect(
            code,
            lambda: counters.refund(
                ITEM, epoch=epoch, order_id=order_id, restock=restock
            ),
        )
        if code == Code.DONE:
            self.move(claim, "refunded")
            if restock:
                self.left += claim.quantity
            else:
                self.units -= claim.quantity

    @rule(
        index=st.integers(0, 3),
        step=st.sampled_from(["begin", "expired", "cancelled", "declined", "confirm"]),
    )
    def move_on(self, index, step):
        """A step of a claim that is open, which a random id seldom is."""
        open_claims = [i for i, c in self.claims.items() if c.state in STILL_OPEN]
        if not open_claims:
            return
        order_id = open_claims[index % len(open_claims)]
        if step == "begin":
            self.begin_payment(order_id, 1)
        elif step == "confirm":
            self.confirm(order_id, 1)
        else:
            self.release(order_id, 1, step)

    def move(self, claim, state):
        for name, sign in ((claim.state, -1), (state, 1)):
            if name in ("held", "paying", "paid"):
                setattr(self, name, getattr(self, name) + sign * claim.quantity)
        claim.state = state

    # -- Steps of the item ---------------------------------------------------------

    @rule(delta=st.integers(-6, 6), ref=st.sampled_from(["", "", *REFS]), epoch=epochs)
    def change_units(self, delta, ref, epoch):
        if ref in self.refs and self.state not in ("frozen", "recovering"):
            code = Code.REPEATED
        elif self.left + delta < 0:
            code = Code.TOO_MANY
        else:
            code = Code.DONE if delta or ref else Code.REPEATED
        if ref in self.refs and epoch == 1:
            code = Code.REPEATED  # made before, also while in doubt
        else:
            # The epoch is looked at before the state here.
            code = Code.WRONG_EPOCH if epoch != 1 else self.guarded(epoch, code)
        self.expect(
            code, lambda: counters.adjust(ITEM, epoch=epoch, ref=ref, units=delta)
        )
        if code == Code.DONE:
            self.units += delta
            self.left += delta
            self.refs |= {ref} - {""}
            self.changed()

    @rule(floor=st.integers(0, 8), limit=st.integers(1, 9))
    def change_floor_and_limit(self, floor, limit):
        same = (floor, limit) == (self.floor, self.limit)
        code = self.guarded(1, Code.REPEATED if same else Code.DONE)
        self.expect(
            code, lambda: counters.adjust(ITEM, epoch=1, floor=floor, limit=limit)
        )
        if code == Code.DONE:
            self.floor, self.limit = floor, limit
            self.changed()

    @rule(window=st.sampled_from(["open", "open", "open", "before", "after"]))
    def change_window(self, window):
        s = counters.snapshot(ITEM)
        now, minute = s.now, 60_000
        opens_at, closes_at = {
            "open": (now - minute, now + minute),
            "before": (now + minute, now + 2 * minute),
            "after": (now - 2 * minute, now - minute),
        }[window]
        # The same window twice within a millisecond is no change.
        same = (opens_at, closes_at) == (s.opens_at, s.closes_at)
        code = self.guarded(1, Code.REPEATED if same else Code.DONE)
        self.expect(
            code,
            lambda: counters.adjust(
                ITEM, epoch=1, opens_at=opens_at, closes_at=closes_at
            ),
        )
        if code == Code.DONE:
            self.window = window

    @rule(state=st.sampled_from(["open", "open", "room", "paused", "ended", "frozen"]))
    def change_state(self, state):
        doubtful = self.state in ("frozen", "recovering")
        code = Code.REPEATED if state == self.state else Code.DONE
        if doubtful and state != "frozen":
            code = Code.NOT_LOADED
        self.expect(code, lambda: counters.adjust(ITEM, epoch=1, state=state))
        if code == Code.DONE:
            self.state = state

    @rule()
    def recover(self):
        code = Code.REPEATED if self.state == "open" else Code.DONE
        self.expect(
            code, lambda: counters.adjust(ITEM, epoch=1, verified=1, state="open")
        )
        self.state = "open"

    @rule(ends_at_once=st.booleans())
    def change_hold(self, ends_at_once):
        self.redis.hset(
            counters.keys(ITEM)[0], "hold_ms", 0 if ends_at_once else 600_000
        )
        self.ends_at_once = ends_at_once

    @rule(epoch=st.sampled_from([1, 2]))
    def preload_again(self, epoch):
        code = Code.REPEATED if epoch == 1 else Code.WRONG_EPOCH
        s = counters.snapshot(ITEM)
        again = {name: getattr(s, name) for name in counters.META_FIELDS}
        again = counters.Snapshot(**{**again, "epoch": epoch})
        self.expect(code, lambda: counters.preload(ITEM, again))

    @rule(lost=st.integers(0, 3), order_id=orders)
    def lose_a_key(self, lost, order_id):
        """Nothing moves without it; then it is found again."""
        key = counters.keys(ITEM)[lost]
        dumped = self.redis.execute_command("DUMP", key, NEVER_DECODE=True)
        self.redis.delete(key)
        for call in (
            lambda: counters.claim(
                ITEM, epoch=1, order_id=order_id, buyer="g:a", quantity=1
            ),
            lambda: counters.begin_payment(ITEM, epoch=1, order_id=order_id),
            lambda: counters.confirm(ITEM, epoch=1, order_id=order_id),
            lambda: counters.adjust(ITEM, epoch=1, units=1),
        ):
            self.expect(Code.NOT_LOADED, call)
        self.redis.restore(key, 0, dumped)

    def changed(self):
        """An adjustment may leave less than the floor, or more than a limit."""
        self.only_claims_since = self.left >= self.floor
        self.within_limit = all(
            self.owned(buyer) <= self.limit for buyer in ("g:a", "g:b", "g:c")
        )

    # -- What must hold ------------------------------------------------------------

    @rule()
    def drain(self):
        events = counters.events(ITEM, after=self.last_seq, limit=1000)
        for event in events:
            self.fold.apply(Entry.parse(event.seq, event.fields))
            self.last_seq = event.seq

    @invariant()
    def redis_holds_what_the_model_holds(self):
        s = counters.snapshot(ITEM)
        assert (s.units, s.left, s.floor, s.limit, s.waiting, s.state) == (
            self.units,
            self.left,
            self.floor,
            self.limit,
            self.waiting,
            self.state,
        )
        assert (s.held, s.paying, s.paid, s.released) == (
            self.held,
            self.paying,
            self.paid,
            self.released,
        )
        assert s.claims == len(self.claims)
        owned = {buyer: self.owned(buyer) for buyer in ("g:a", "g:b", "g:c")}
        assert counters.buyers(ITEM) == {
            b: units for b, units in owned.items() if units
        }

    @invariant()
    def the_invariants_hold(self):
        s = counters.snapshot(ITEM)
        assert s.units == s.left + s.held + s.paying + s.paid  # 1
        if self.last_seq:  # 2, with what is in flight
            mirrored = self.fold.counters
            assert mirrored.is_whole
            assert (
                mirrored.held + mirrored.paying + mirrored.paid <= mirrored.units
            )  # 5
            if self.last_seq == s.seq:
                assert (mirrored.left, mirrored.units) == (s.left, s.units)
        assert s.left >= 0  # 3
        if self.only_claims_since:
            assert s.left >= s.floor
        if self.within_limit:
            assert max(counters.buyers(ITEM).values(), default=0) <= s.limit
        assert s.seq == self.seq == s.events  # 4
        assert s.last_id == f"{s.seq}-0"

    def teardown(self):
        if not hasattr(self, "claims"):
            return
        self.drain()
        folded = {i: (c.state, c.quantity) for i, c in self.fold.claims.items()}
        assert folded == {i: (c.state, c.quantity) for i, c in self.claims.items()}
        for order_id, stored in counters.claims(ITEM):
            assert stored.state == self.claims[order_id].state


def test_the_scripts_do_what_the_model_does(sale_redis):
    Machine.steps = 0

    with counters.patience(10):
        for number in count(1):
            run_some(number)
            if Machine.steps > 4000:
                break


def run_some(number):
    """Random steps, the same for the same number and the same rules."""
    machine = seed(number)(type("Machine", (Machine,), {}))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=50,
            stateful_step_count=60,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_model_meets_every_answer(sale_redis):
    """One walk, so that no answer is left to chance."""
    first, second, third = (UUID(int=number) for number in range(3))
    Machine.seen = set()
    walk = Machine()
    walk.load(units=6, floor=1, limit=3)

    walk.claim(first, "g:a", 2, 1)
    walk.claim(first, "g:a", 2, 1)  # REPEATED
    walk.claim(first, "g:b", 2, 1)  # CONFLICT
    walk.claim(second, "g:a", 2, 1)  # LIMIT
    walk.claim(second, "g:b", 2, 2)  # WRONG_EPOCH
    walk.claim(second, "g:b", 4, 1)  # ALL_HELD
    walk.release(first, 1, "expired")  # NOT_DUE
    walk.confirm(first, 1)  # WRONG_STATE
    walk.confirm(second, 1)  # UNKNOWN
    walk.begin_payment(first, 1)
    walk.confirm(first, 1)
    walk.claim(second, "g:b", 4, 1)  # SOLD_OUT
    walk.change_units(-5, "", 1)  # TOO_MANY
    walk.change_hold(True)
    walk.claim(second, "g:b", 1, 1)
    walk.begin_payment(second, 1)  # HOLD_ENDED
    walk.change_state("room")
    walk.claim(third, "g:c", 1, 1)  # WAITING_ROOM
    walk.change_state("paused")
    walk.claim(third, "g:c", 1, 1)  # PAUSED
    walk.change_state("open")
    walk.change_window("before")
    walk.claim(third, "g:c", 1, 1)  # NOT_STARTED
    walk.change_window("after")
    walk.claim(third, "g:c", 1, 1)  # ENDED
    walk.lose_a_key(0, third)  # NOT_LOADED

    assert Machine.seen == set(Code)
    walk.redis_holds_what_the_model_holds()
    walk.the_invariants_hold()
    walk.teardown()
