"""The only writer of stock: what it takes, what it refuses, what it writes down."""

import pytest

from catalog import stock, thresholds
from catalog.models import StatusChange, Stock, StockMovement
from catalog.status import StockStatus
from catalog.stock import Delta, Kind, Note
from tests.catalog.ledger import assert_ledger_explains
from tests.factories import make_product

pytestmark = pytest.mark.django_db

IN, LOW, OUT = (status.value for status in StockStatus)
NOTE = Note(cause="test:1", reason="because")
FAR_TOO_MANY = 1_000_001

remembered = []


def remember(product_ids):
    remembered.append(product_ids)


def row_of(product):
    return Stock.objects.get(pk=product.pk)


def quantities(product):
    row = row_of(product)
    return row.on_hand, row.reserved, row.allocated


def flips(product):
    changes = StatusChange.objects.filter(product=product).order_by("pk")
    return list(changes.values_list("from_status", "to_status", "sellable"))


def movements(product):
    rows = StockMovement.objects.filter(product=product).order_by("pk")
    return list(rows.values_list("kind", "on_hand_delta", "reserved_delta"))


# -- Opening ----------------------------------------------------------------------


def test_opening_stock_writes_one_movement_and_no_crossing():
    product = make_product(on_hand=7)

    assert movements(product) == [(Kind.RECEIPT, 7, 0)]
    assert row_of(product).status == IN
    assert flips(product) == []


def test_opening_empty_stock_writes_no_movement():
    product = make_product(on_hand=0)

    assert movements(product) == []
    assert row_of(product).status == OUT


@pytest.mark.parametrize("on_hand", [-1, FAR_TOO_MANY])
def test_opening_with_an_impossible_number_leaves_nothing(on_hand):
    with pytest.raises(ValueError, match="on hand"):
        make_product(on_hand=on_hand)

    assert not Stock.objects.exists()
    assert not StockMovement.objects.exists()


# -- Reserve, release, ship -------------------------------------------------------


def test_threshold_is_a_floor_for_every_quantity():
    product = make_product(on_hand=5, safety_threshold=2)

    with pytest.raises(stock.InsufficientStock):
        stock.reserve({product.pk: 4}, note=NOTE)
    stock.reserve({product.pk: 3}, note=NOTE)

    assert quantities(product) == (5, 3, 0)
    assert row_of(product).status == OUT
    assert flips(product) == [(IN, OUT, 0)]
    with pytest.raises(stock.InsufficientStock):
        stock.reserve({product.pk: 1}, note=NOTE)


def test_reserve_takes_nothing_and_names_every_short_line():
    enough = make_product(on_hand=5)
    short = make_product(on_hand=5, safety_threshold=2)
    empty = make_product(on_hand=0)

    with pytest.raises(stock.InsufficientStock) as refusal:
        stock.reserve({empty.pk: 1, short.pk: 4, enough.pk: 5}, note=NOTE)

    assert refusal.value.shortages == [
        stock.Shortage(short.pk, 4, 3),
        stock.Shortage(empty.pk, 1, 0),
    ]
    assert quantities(enough) == (5, 0, 0)
    assert len(movements(enough)) == 1
    assert flips(enough) == []


def test_reserve_refuses_a_product_without_stock():
    product = make_product(on_hand=1)
    Stock.objects.filter(pk=product.pk).delete()

    with pytest.raises(stock.InsufficientStock) as refusal:
        stock.reserve({product.pk: 1}, note=NOTE)

    assert refusal.value.shortages == [stock.Shortage(product.pk, 1, 0)]


def test_reserve_leaves_what_is_allocated_to_flash_sales():
    product = make_product(on_hand=10, safety_threshold=1)
    stock.allocate(product.pk, 6, note=NOTE)

    with pytest.raises(stock.InsufficientStock) as refusal:
        stock.reserve({product.pk: 4}, note=NOTE)

    assert refusal.value.shortages == [stock.Shortage(product.pk, 4, 3)]


def test_an_order_walks_from_the_shelf_to_the_shopper_and_back():
    product = make_product(on_hand=5, safety_threshold=2)

    stock.reserve({product.pk: 2}, note=NOTE)
    stock.release({product.pk: 1}, note=NOTE)
    stock.ship({product.pk: 1}, note=NOTE)
    stock.take_back({product.pk: 1}, note=NOTE)

    assert quantities(product) == (5, 0, 0)
    assert movements(product)[1:] == [
        (Kind.RESERVE, 0, 2),
        (Kind.RELEASE, 0, -1),
        (Kind.SALE, -1, -1),
        (Kind.RETURN, 1, 0),
    ]
    assert_ledger_explains(product)


def test_nobody_can_release_or_ship_more_than_is_reserved():
    product = make_product(on_hand=5)
    stock.reserve({product.pk: 2}, note=NOTE)

    with pytest.raises(stock.StockConflict):
        stock.release({product.pk: 3}, note=NOTE)
    with pytest.raises(stock.StockConflict):
        stock.ship({product.pk: 3}, note=NOTE)

    assert quantities(product) == (5, 2, 0)


@pytest.mark.parametrize("change", ["reserve", "release", "ship", "take_back"])
@pytest.mark.parametrize("quantity", [0, -1, FAR_TOO_MANY])
def test_orders_refuse_numbers_nobody_can_mean(change, quantity):
    product = make_product(on_hand=5)
    stock.reserve({product.pk: 2}, note=NOTE)

    with pytest.raises(ValueError, match="quantity"):
        getattr(stock, change)({product.pk: quantity}, note=NOTE)

    assert quantities(product) == (5, 2, 0)


@pytest.mark.parametrize("change", ["receive", "allocate", "deallocate"])
@pytest.mark.parametrize("quantity", [0, -1, FAR_TOO_MANY])
def test_single_changes_refuse_numbers_nobody_can_mean(change, quantity):
    product = make_product(on_hand=5)
    stock.allocate(product.pk, 2, note=NOTE)

    with pytest.raises(ValueError, match="quantity"):
        getattr(stock, change)(product.pk, quantity, note=NOTE)

    assert quantities(product) == (5, 0, 2)


# -- Counting ---------------------------------------------------------------------


def test_adjust_sets_a_counted_number_and_says_why():
    product = make_product(on_hand=5)

    row = stock.adjust(product.pk, on_hand=3, note=NOTE)

    movement = StockMovement.objects.filter(product=product).latest("pk")
    assert (row.on_hand, row.version) == (3, 2)
    assert (movement.kind, movement.on_hand_before) == (Kind.ADJUSTMENT, 5)
    assert (movement.cause, movement.reason) == ("test:1", "because")


def test_adjust_to_the_same_number_writes_nothing():
    product = make_product(on_hand=5)

    row = stock.adjust(product.pk, on_hand=5, note=NOTE)

    assert row.version == 1
    assert len(movements(product)) == 1


def test_adjust_refuses_a_version_somebody_else_has_passed():
    product = make_product(on_hand=5)
    seen = row_of(product).version
    stock.adjust(product.pk, on_hand=6, note=NOTE)

    with pytest.raises(stock.VersionConflict) as conflict:
        stock.adjust(product.pk, on_hand=4, expected_version=seen, note=NOTE)

    assert conflict.value.stock.on_hand == 6
    assert quantities(product) == (6, 0, 0)


def test_adjust_never_goes_below_what_is_promised():
    product = make_product(on_hand=10)
    stock.reserve({product.pk: 2}, note=NOTE)
    stock.allocate(product.pk, 3, note=NOTE)

    with pytest.raises(stock.StockConflict, match="5 units are promised"):
        stock.adjust(product.pk, on_hand=4, note=NOTE)
    stock.adjust(product.pk, on_hand=5, note=NOTE)

    assert quantities(product) == (5, 2, 3)


@pytest.mark.parametrize("on_hand", [-1, FAR_TOO_MANY])
def test_adjust_refuses_an_impossible_count(on_hand):
    product = make_product(on_hand=5)

    with pytest.raises(ValueError, match="on hand"):
        stock.adjust(product.pk, on_hand=on_hand, note=NOTE)


def test_many_counts_are_all_written_or_none():
    first, second = make_product(on_hand=5), make_product(on_hand=5)
    stock.reserve({second.pk: 3}, note=NOTE)

    with pytest.raises(stock.StockConflict):
        stock.adjust_many({first.pk: 9, second.pk: 2}, kind=Kind.IMPORT, note=NOTE)
    assert quantities(first) == (5, 0, 0)
    stock.adjust_many({first.pk: 9, second.pk: 3}, kind=Kind.IMPORT, note=NOTE)

    assert quantities(first) == (9, 0, 0)
    assert quantities(second) == (3, 3, 0)
    assert flips(second) == [(IN, OUT, 0)]
    assert_ledger_explains(first)
    assert_ledger_explains(second)


def test_changes_of_the_shelf_are_told_to_the_follower(settings):
    settings.SHOP_STOCK_FOLLOWER = f"{__name__}.remember"
    product = make_product(on_hand=5)
    remembered.clear()

    stock.receive(product.pk, 1, note=NOTE)
    stock.adjust(product.pk, on_hand=6, note=NOTE)
    stock.adjust(product.pk, on_hand=4, note=NOTE)
    stock.take_back({product.pk: 1}, note=NOTE)
    thresholds.change({product.pk: thresholds.Levels(safety_threshold=1)})
    thresholds.change({product.pk: thresholds.Levels(safety_threshold=1)})

    assert remembered == [[product.pk]] * 4


# -- Flash sales ------------------------------------------------------------------


def test_an_allocation_may_be_all_of_it_but_no_more():
    product = make_product(on_hand=5, safety_threshold=2)

    with pytest.raises(stock.InsufficientStock) as refusal:
        stock.allocate(product.pk, 6, note=NOTE)
    stock.allocate(product.pk, 5, note=NOTE)

    assert refusal.value.shortages == [stock.Shortage(product.pk, 6, 5)]
    assert quantities(product) == (5, 0, 5)
    assert row_of(product).status == IN
    with pytest.raises(stock.StockConflict):
        stock.deallocate(product.pk, 6, note=NOTE)


def test_a_batch_of_steps_records_every_crossing_inside_it():
    product = make_product(on_hand=4, safety_threshold=2, low_stock_level=1)
    stock.allocate(product.pk, 4, note=NOTE)
    hold = (Kind.RESERVE, Delta(reserved=1, allocated=-1))
    give_back = (Kind.RELEASE, Delta(reserved=-1, allocated=1))

    stock.apply_steps(product.pk, [hold, hold, give_back, hold], note=NOTE)

    assert flips(product) == [
        (IN, LOW, 1),
        (LOW, OUT, 0),
        (OUT, LOW, 1),
        (LOW, OUT, 0),
    ]
    assert movements(product)[2:] == [(Kind.RESERVE, 0, 3), (Kind.RELEASE, 0, -1)]
    assert quantities(product) == (4, 2, 2)
    assert_ledger_explains(product)


def test_a_batch_that_does_not_fit_changes_nothing():
    product = make_product(on_hand=4)
    stock.allocate(product.pk, 2, note=NOTE)
    hold = (Kind.RESERVE, Delta(reserved=1, allocated=-1))

    with pytest.raises(stock.StockConflict):
        stock.apply_steps(product.pk, [hold, hold, hold], note=NOTE)

    assert quantities(product) == (4, 0, 2)
    assert len(movements(product)) == 2
