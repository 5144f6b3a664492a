"""Both ledgers explain the stock rows, whatever happened."""

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import stock, thresholds
from catalog.models import Stock, StockMovement
from catalog.stock import Delta, Kind, Note
from tests.catalog.ledger import assert_flips_are_a_chain, assert_ledger_explains
from tests.factories import make_product

pytestmark = pytest.mark.django_db

NOTE = Note(cause="test:1")


def test_movements_can_be_neither_changed_nor_deleted():
    product = make_product(on_hand=5)
    rows = StockMovement.objects.filter(product=product)

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        rows.update(on_hand_delta=6)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        rows.delete()

    assert rows.get().on_hand_delta == 5


def test_the_database_refuses_to_promise_more_than_there_is():
    product = make_product(on_hand=5)
    row = Stock.objects.filter(pk=product.pk)

    with pytest.raises(IntegrityError, match="promised_lte_on_hand"):
        row.update(reserved=4, allocated=2)


UNITS = st.integers(1, 6)
CHANGES = st.one_of(
    st.tuples(st.sampled_from(["reserve", "release", "ship", "take_back"]), UNITS),
    st.tuples(st.sampled_from(["receive", "allocate", "deallocate"]), UNITS),
    st.tuples(st.sampled_from(["adjust", "threshold", "level"]), st.integers(0, 12)),
    st.tuples(st.just("steps"), st.lists(st.sampled_from(["hold", "free", "sell"]))),
)
STEPS = {
    "hold": (Kind.RESERVE, Delta(reserved=1, allocated=-1)),
    "free": (Kind.RELEASE, Delta(reserved=-1, allocated=1)),
    "sell": (Kind.SALE, Delta(on_hand=-1, reserved=-1)),
}


def make_change(product, change, value):
    if change in {"reserve", "release", "ship", "take_back"}:
        getattr(stock, change)({product.pk: value}, note=NOTE)
    elif change == "adjust":
        stock.adjust(product.pk, on_hand=value, note=NOTE)
    elif change == "threshold":
        levels = thresholds.Levels(safety_threshold=value)
        thresholds.change({product.pk: levels})
    elif change == "level":
        thresholds.change({product.pk: thresholds.Levels(low_stock_level=value)})
    elif change == "steps":
        stock.apply_steps(product.pk, [STEPS[step] for step in value], note=NOTE)
    else:
        getattr(stock, change)(product.pk, value, note=NOTE)


@settings(max_examples=60, deadline=None)
@given(st.lists(CHANGES, max_size=12), st.integers(0, 4))
def test_any_mixture_is_explained_by_both_ledgers(changes, threshold):
    product = make_product(on_hand=6, safety_threshold=threshold, low_stock_level=2)
    first_status = Stock.objects.get(pk=product.pk).status

    for change, value in changes:
        try:
            make_change(product, change, value)
        except (stock.InsufficientStock, stock.StockConflict):
            continue

    row = Stock.objects.get(pk=product.pk)
    assert min(row.on_hand, row.reserved, row.allocated) >= 0
    assert row.reserved + row.allocated <= row.on_hand
    assert_ledger_explains(product)
    assert_flips_are_a_chain(product, first_status)
