"""What events mean: claims and counters, and what is poison."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sales.folding import Counters, Entry, Fold, Poison

ORDER = uuid4()
LOADED = Counters(units=10, left=10, floor=2)


def entry(kind, quantity=2, *, seq=5, order_id=ORDER, buyer="g:a", **details):
    expires_at = 2_000 if kind in ("claim", "reclaim") else None
    return Entry(seq, 1, kind, 1_000, order_id, buyer, quantity, expires_at, details)


def folded(*entries, counters=LOADED):
    fold = Fold(counters=counters)
    for each in entries:
        fold.apply(each)
    return fold


def numbers(fold):
    c = fold.counters
    return (c.left, c.held, c.paying, c.paid, c.released)


STEPS = {
    "claim": entry("claim"),
    "begin": entry("begin"),
    "confirm": entry("confirm"),
    "expire": entry("release", reason="expired"),
    "cancel": entry("release", reason="cancelled"),
    "decline": entry("release", reason="declined"),
    "hold again": entry("reclaim", target="held"),
    "pay late": entry("reclaim", target="paying"),
    "restock": entry("refund", restock="1"),
    "write off": entry("refund", restock="0"),
}


@pytest.mark.parametrize(
    ("steps", "state", "left"),
    [
        ("claim", "held", (8, 2, 0, 0, 0)),
        ("claim begin", "paying", (8, 0, 2, 0, 0)),
        ("claim begin confirm", "paid", (8, 0, 0, 2, 0)),
        ("claim expire", "expired", (10, 0, 0, 0, 2)),
        ("claim cancel", "cancelled", (10, 0, 0, 0, 2)),
        ("claim begin decline", "cancelled", (10, 0, 0, 0, 2)),
        ("claim expire hold-again", "held", (8, 2, 0, 0, 2)),
        ("claim expire pay-late confirm", "paid", (8, 0, 0, 2, 2)),
        ("claim begin confirm restock", "refunded", (10, 0, 0, 0, 0)),
        ("claim begin confirm write-off", "refunded", (8, 0, 0, 0, 0)),
    ],
)
def test_each_step_moves_counters_and_claim(steps, state, left):
    fold = folded(*(STEPS[step.replace("-", " ")] for step in steps.split()))

    assert fold.claims[ORDER].state == state
    assert numbers(fold) == left
    assert fold.counters.is_whole
    assert fold.counters.units == (8 if "write-off" in steps else 10)


FROM = {
    "held": "claim",
    "paying": "claim begin",
    "paid": "claim begin confirm",
    "expired": "claim expire",
    "refunded": "claim begin confirm restock",
}
ALLOWED = {
    "held": {"begin", "expire", "cancel"},
    "paying": {"confirm", "decline"},
    "paid": {"restock", "write off"},
    "expired": {"hold again", "pay late"},
    "refunded": set(),
}


@pytest.mark.parametrize("state", FROM)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_does_not_follow_is_poison_and_changes_nothing(state, step):
    fold = folded(*(STEPS[name] for name in FROM[state].split()))
    before = (fold.counters, replace(fold.claims[ORDER]))

    if step in ALLOWED[state]:
        fold.apply(STEPS[step])
        return
    with pytest.raises(Poison):
        fold.apply(STEPS[step])
    assert (fold.counters, fold.claims[ORDER]) == before


@pytest.mark.parametrize(
    "bad",
    [
        entry("claim", 0),
        entry("claim", 11),
        entry("claim", order_id=None),
        entry("begin", order_id=uuid4()),
        entry("adjust", delta="-11", floor="0"),
        entry("adjust", delta="1"),
        entry("adjust", delta="x", floor="0"),
        entry("adjust", delta="1", floor="0", ref="not an id"),
        entry("preload", units="3", left="2"),
        entry(
            "preload",
            **{n: "0" for n in ("floor", "held", "paying", "paid", "released")},
            units="11",
            left="11",
        ),
    ],
)
def test_an_event_that_cannot_be_is_poison(bad):
    fold = folded()
    with pytest.raises(Poison):
        fold.apply(bad)
    assert fold.counters == LOADED
    assert fold.claims == {}


def test_another_quantity_than_was_claimed_is_poison():
    fold = folded(entry("claim", 2))
    with pytest.raises(Poison):
        fold.apply(entry("begin", 3))


def test_loading_sets_the_counters_and_saying_them_again_is_no_harm():
    says = {"units": 5, "left": 4, "floor": 1, "held": 1}
    says |= dict.fromkeys(("paying", "paid", "released"), 0)
    load = entry("preload", **{name: str(n) for name, n in says.items()})
    fold = folded(load, counters=Counters())
    fold.apply(replace(load, kind="recover"))
    assert fold.counters == Counters(**says)


def test_flips_count_each_crossing_of_the_floor():
    fold = folded()
    for _ in range(3):
        order_id = uuid4()
        fold.apply(entry("claim", 8, order_id=order_id))
        fold.apply(entry("release", 8, order_id=order_id, reason="expired"))
    fold.apply(entry("adjust", delta="0", floor="10"))
    fold.apply(entry("adjust", delta="0", floor="0"))
    assert fold.flips == 4


# -- Reading ----------------------------------------------------------------------

FIELDS = {
    "event": "claim",
    "epoch": "1",
    "at": "1000",
    "order_id": str(ORDER),
    "buyer": "g:a",
    "quantity": "2",
    "expires_at": "2000",
    "more": "kept",
}


def test_an_event_is_read_with_numbers_as_numbers():
    assert Entry.parse(5, FIELDS) == entry("claim", more="kept")


@pytest.mark.parametrize(
    "change",
    [
        {"event": None},
        {"event": "sell"},
        {"epoch": "x"},
        {"epoch": str(2**31)},
        {"at": None},
        {"at": "-1"},
        {"at": str(10**18)},
        {"expires_at": str(10**18)},
        {"order_id": "no id"},
        {"quantity": "-1"},
        {"quantity": str(2**31)},
        {"buyer": "x" * 81},
        {"buyer": "a\x00"},
        {"more": "\x00"},
        {"\x00": "x"},
    ],
)
def test_a_field_that_postgresql_could_not_keep_is_poison(change):
    fields = {k: v for k, v in {**FIELDS, **change}.items() if v is not None}
    with pytest.raises(Poison):
        Entry.parse(5, fields)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.text(max_size=20)))
def test_no_text_makes_reading_fail_otherwise(change):
    try:
        read = Entry.parse(5, {**FIELDS, **change})
    except Poison:
        return
    assert read.quantity >= 0


# -- Histories --------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from(sorted(STEPS)),
        st.integers(0, 5).map(lambda number: UUID(int=number)),
        st.integers(1, 4),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(steps, st.integers(1, 7))
def test_a_history_folds_the_same_in_batches_and_at_once(history, size):
    entries = [
        replace(STEPS[name], order_id=order_id, quantity=quantity, seq=seq)
        for seq, (name, order_id, quantity) in enumerate(history)
    ]
    at_once, batched = Fold(counters=LOADED), Fold(counters=LOADED)
    accepted = []
    for each in entries:
        try:
            at_once.apply(each)
        except Poison:
            continue
        accepted.append(each)
        assert at_once.counters.is_whole
        assert min(numbers(at_once)) >= 0

    for start in range(0, len(accepted), size):
        batched = Fold(counters=batched.counters, claims=batched.claims)
        for each in accepted[start : start + size]:
            batched.apply(each)

    assert (batched.counters, batched.claims) == (at_once.counters, at_once.claims)
    for state in ("held", "paying", "paid"):
        claimed = [c.quantity for c in at_once.claims.values() if c.state == state]
        assert sum(claimed) == getattr(at_once.counters, state)
