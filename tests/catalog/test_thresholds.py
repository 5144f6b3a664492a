"""Who inherits which number, what a change does to all heirs, and how it is undone."""

from contextlib import ExitStack

import pytest
from django.db import transaction

from catalog import stock, thresholds
from catalog.models import Category, StatusChange, Stock, Store, ThresholdChange
from catalog.thresholds import KEEP, Levels
from tests.catalog.ledger import assert_flips_are_a_chain
from tests.factories import make_category, make_product
from tests.threads import in_background, wait_for_blocked

pytestmark = pytest.mark.django_db

FAR_TOO_MANY = 1_000_001


def make_heir(**fields):
    """A product that inherits both numbers, which are what they should be."""
    product = make_product(
        inherits_threshold=True, inherits_low_stock_level=True, **fields
    )
    thresholds.inherit_again(reason="new")
    return product


def levels_of(product):
    row = Stock.objects.get(pk=product.pk)
    return row.safety_threshold, row.low_stock_level


def status_of(product):
    return Stock.objects.get(pk=product.pk).status


def state(products):
    """Everything about levels, as it must be again after an undo."""
    rows = Stock.objects.filter(pk__in=[product.pk for product in products])
    names = (*thresholds.TARGET, "status")
    return (
        list(rows.order_by("pk").values_list(*names)),
        list(Store.objects.values_list("safety_threshold", "low_stock_level")),
        list(
            Category.objects.order_by("pk").values_list(
                "pk", "safety_threshold", "low_stock_level"
            )
        ),
    )


# -- Inheritance ------------------------------------------------------------------


def test_a_number_comes_from_the_nearest_that_has_one():
    house = make_category("House")
    kitchen = make_category("Kitchen", parent=house)
    knives = make_category("Knives", parent=kitchen)
    heir = make_heir(category=knives)
    own = make_product(category=knives, safety_threshold=9, low_stock_level=9)
    thresholds.change_store(safety_threshold=1, low_stock_level=2)
    assert levels_of(heir) == (1, 2)

    thresholds.change_category(house, safety_threshold=3, low_stock_level=None)
    assert levels_of(heir) == (3, 2)
    thresholds.change_category(kitchen, safety_threshold=None, low_stock_level=4)
    assert levels_of(heir) == (3, 4)
    thresholds.change_category(knives, safety_threshold=0, low_stock_level=None)

    assert levels_of(heir) == (0, 4)
    assert levels_of(own) == (9, 9)


def test_origin_is_named_in_words():
    shelf = make_category("Knives", safety_threshold=3)
    products = [
        make_product(),
        make_heir(),
        make_heir(category=shelf),
        make_heir(category=make_category("Bread knives", parent=shelf)),
    ]

    origins = [thresholds.origin(product) for product in products]

    assert origins == ["product", "store", "category Knives", "category Knives"]


def test_a_product_can_stop_inheriting_one_number_and_inherit_it_again():
    heir = make_heir()
    thresholds.change_store(safety_threshold=1, low_stock_level=2)

    thresholds.change({heir.pk: Levels(safety_threshold=7)})
    thresholds.change_store(safety_threshold=3, low_stock_level=4)
    assert levels_of(heir) == (7, 4)
    thresholds.change({heir.pk: Levels(None, KEEP)})

    assert levels_of(heir) == (3, 4)


def test_a_moved_product_takes_the_numbers_of_its_new_category():
    heir = make_heir(category=make_category("Old", safety_threshold=1))
    heir.category = make_category("New", safety_threshold=6)
    heir.save()

    thresholds.inherit_again(reason="moved")

    assert levels_of(heir)[0] == 6


def test_a_category_that_is_its_own_ancestor_does_not_hang():
    category = make_category("Loop")
    Category.objects.filter(pk=category.pk).update(parent=category)
    heir = make_heir(category=category)

    thresholds.change_store(safety_threshold=4, low_stock_level=0)

    assert levels_of(heir) == (4, 0)


# -- Status -----------------------------------------------------------------------


def test_a_change_of_the_store_flips_heirs_once_and_nobody_else():
    heir, own = make_heir(on_hand=5), make_product(on_hand=5)
    thresholds.change_store(safety_threshold=0, low_stock_level=0)
    StatusChange.objects.all().delete()

    for _ in range(2):
        thresholds.change_store(safety_threshold=5, low_stock_level=0)

    flip = StatusChange.objects.get()
    assert (flip.product, flip.from_status, flip.to_status) == (
        heir,
        "in_stock",
        "out_of_stock",
    )
    assert flip.cause.startswith("thresholds:")
    assert status_of(own) == "in_stock"


def test_a_threshold_can_stand_above_the_stock():
    product = make_product(on_hand=5)

    thresholds.change({product.pk: Levels(safety_threshold=50)})

    assert status_of(product) == "out_of_stock"
    with pytest.raises(stock.InsufficientStock):
        stock.reserve({product.pk: 1}, note=stock.Note())


# -- Refusals ---------------------------------------------------------------------


@pytest.mark.parametrize("number", [-1, FAR_TOO_MANY])
def test_impossible_levels_are_refused_everywhere(number):
    product, shelf = make_product(), make_category()
    before = state([product])

    with pytest.raises(ValueError, match="a level must be"):
        thresholds.change({product.pk: Levels(safety_threshold=number)})
    with pytest.raises(ValueError, match="a level must be"):
        thresholds.change({product.pk: Levels(low_stock_level=number)})
    with pytest.raises(ValueError, match="a level must be"):
        thresholds.change_store(safety_threshold=number, low_stock_level=0)
    with pytest.raises(ValueError, match="a level must be"):
        thresholds.change_category(shelf, safety_threshold=0, low_stock_level=number)

    assert state([product])[0] == before[0]


def test_one_impossible_level_leaves_the_whole_batch_alone():
    first, second = make_product(), make_product()

    with pytest.raises(ValueError, match="a level must be"):
        thresholds.change({first.pk: Levels(3), second.pk: Levels(-1)})

    assert levels_of(first) == (0, 0)
    assert not ThresholdChange.objects.exists()


def test_a_version_somebody_else_has_passed_is_refused():
    product = make_product()
    seen = product.stock.version
    thresholds.change({product.pk: Levels(3)}, expected_version=seen)

    with pytest.raises(stock.VersionConflict) as conflict:
        thresholds.change({product.pk: Levels(4)}, expected_version=seen)

    assert conflict.value.stock.safety_threshold == 3
    assert levels_of(product) == (3, 0)


# -- Undo -------------------------------------------------------------------------


def changes_to_undo(shelf, heir, own):
    return {
        "products": lambda: thresholds.change(
            {heir.pk: Levels(9, 9), own.pk: Levels(None, None)}
        ),
        "store": lambda: thresholds.change_store(safety_threshold=9, low_stock_level=1),
        "category": lambda: thresholds.change_category(
            shelf, safety_threshold=9, low_stock_level=1
        ),
    }


@pytest.mark.parametrize("what", ["products", "store", "category"])
def test_undo_puts_back_exactly_what_was_there(what):
    shelf = make_category("Shelf")
    heir, own = make_heir(category=shelf, on_hand=5), make_product(on_hand=5)
    before = state([heir, own])
    first_status = status_of(heir)
    StatusChange.objects.all().delete()

    batch = changes_to_undo(shelf, heir, own)[what]()
    changed = state([heir, own])
    undoing = thresholds.undo(batch)

    assert changed != before
    assert state([heir, own]) == before
    assert_flips_are_a_chain(heir, first_status)
    thresholds.undo(undoing)
    assert state([heir, own]) == changed


def test_undo_leaves_what_somebody_changed_since():
    first, second = make_product(), make_product()
    batch = thresholds.change({first.pk: Levels(4), second.pk: Levels(4)})
    thresholds.change({second.pk: Levels(6)})

    thresholds.undo(batch)

    assert levels_of(first) == (0, 0)
    assert levels_of(second) == (6, 0)


def test_undo_gives_an_heir_what_its_default_is_now():
    heir = make_heir()
    batch = thresholds.change({heir.pk: Levels(4, 4)})
    thresholds.change_store(safety_threshold=2, low_stock_level=3)

    thresholds.undo(batch)

    assert levels_of(heir) == (2, 3)
    assert Stock.objects.get(pk=heir.pk).inherits_threshold


def test_undo_of_a_default_reaches_heirs_made_since():
    Store.objects.all().delete()
    batch = thresholds.change_store(safety_threshold=4, low_stock_level=0)
    newcomer = make_heir()
    assert levels_of(newcomer) == (4, 0)

    thresholds.undo(batch)

    assert levels_of(newcomer) == (0, 5)


def test_undo_of_an_unknown_batch_changes_nothing():
    product = make_heir()
    before = state([product])

    thresholds.undo("5b9a3a8e-52b6-4d7c-a62c-36c1f0f6a3d4")

    assert state([product]) == before


# -- At once ----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_nobody_inherits_a_default_that_is_just_being_changed():
    product = make_product(safety_threshold=9)

    def inherit():
        thresholds.change({product.pk: Levels(None, None)})

    with ExitStack() as afterwards, transaction.atomic():
        thresholds.change_store(safety_threshold=4, low_stock_level=3)
        afterwards.enter_context(in_background(inherit))
        wait_for_blocked(1)

    assert levels_of(product) == (4, 3)


@pytest.mark.django_db(transaction=True)
def test_changes_of_all_products_do_not_deadlock_with_orders():
    products = [make_heir(on_hand=50) for _ in range(4)]
    basket = {product.pk: 1 for product in reversed(products)}
    changes = [
        lambda: stock.reserve(basket, note=stock.Note()),
        lambda: thresholds.change_store(safety_threshold=5, low_stock_level=5),
        lambda: thresholds.change({pk: Levels(3) for pk in basket}),
    ]

    with ExitStack() as afterwards, transaction.atomic():
        stock.lock([products[0].pk])
        afterwards.enter_context(in_background(*changes))
        wait_for_blocked(3)

    assert {Stock.objects.get(pk=pk).reserved for pk in basket} == {1}
    assert {Stock.objects.get(pk=pk).safety_threshold for pk in basket} == {3}
