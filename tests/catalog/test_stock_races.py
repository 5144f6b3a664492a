"""Many hands on the same units, on real PostgreSQL, and what happens without care."""

from contextlib import ExitStack
from functools import partial
from threading import Barrier

import pytest
from django.db import OperationalError, transaction
from django.db.models import F

from catalog import stock
from catalog.models import StatusChange, Stock
from catalog.stock import Note
from tests.catalog.ledger import assert_flips_are_a_chain, assert_ledger_explains
from tests.factories import make_product
from tests.threads import in_background, run_at_once, wait_for_blocked

pytestmark = pytest.mark.django_db(transaction=True)

NOTE = Note(cause="race")


def buy(quantities):
    """Whether the order got everything it asked for."""
    try:
        stock.reserve(quantities, note=NOTE)
    except stock.InsufficientStock:
        return False
    return True


def test_fifty_buyers_of_five_units_get_five():
    product = make_product(on_hand=5)

    bought = run_at_once(buy, [{product.pk: 1}] * 50)

    assert bought.count(True) == 5
    assert Stock.objects.get(pk=product.pk).available == 0
    assert StatusChange.objects.filter(product=product).count() == 1
    assert_ledger_explains(product)


def test_control_read_check_write_sells_the_same_unit_again():
    product = make_product(on_hand=5)
    everyone_has_read = Barrier(20)

    def buy_carelessly(quantity):
        row = Stock.objects.get(pk=product.pk)
        everyone_has_read.wait(timeout=60)
        if row.sellable < quantity:
            return False
        Stock.objects.filter(pk=row.pk).update(reserved=row.reserved + quantity)
        return True

    bought = run_at_once(buy_carelessly, [1] * 20)

    assert bought.count(True) == 20
    assert Stock.objects.get(pk=product.pk).reserved == 1


def test_the_threshold_is_kept_when_everybody_wants_another_quantity():
    product = make_product(on_hand=12, safety_threshold=2)
    wanted = [1, 2, 3, 1, 2, 3, 1, 2, 3, 4]

    bought = run_at_once(buy, [{product.pk: quantity} for quantity in wanted])

    row = Stock.objects.get(pk=product.pk)
    sold = sum(q for q, was_bought in zip(wanted, bought, strict=True) if was_bought)
    assert row.reserved == sold <= 10
    refused = [
        q for q, was_bought in zip(wanted, bought, strict=True) if not was_bought
    ]
    assert refused
    assert min(refused) > row.sellable
    assert_ledger_explains(product)


def test_orders_shipments_and_counts_at_once_keep_both_ledgers():
    product = make_product(on_hand=40, safety_threshold=30, low_stock_level=5)
    stock.reserve({product.pk: 5}, note=NOTE)
    first_status = "in_stock"

    def change(number):
        if number % 4 == 0:
            stock.receive(product.pk, 1, note=NOTE)
        elif number % 4 == 1:
            buy({product.pk: 2})
        elif number % 4 == 2:
            stock.ship({product.pk: 1}, note=NOTE)
        else:
            stock.take_back({product.pk: 1}, note=NOTE)

    run_at_once(change, range(20))

    assert_ledger_explains(product)
    assert_flips_are_a_chain(product, first_status)


def test_two_orders_for_the_same_products_in_opposite_order_queue_up():
    first, second = make_product(), make_product()

    baskets = [{first.pk: 1, second.pk: 1}, {second.pk: 1, first.pk: 1}]

    with ExitStack() as afterwards, transaction.atomic():
        stock.lock([first.pk])
        orders = afterwards.enter_context(
            in_background(*[partial(buy, basket) for basket in baskets])
        )
        wait_for_blocked(2)

    assert [order.result() for order in orders] == [True, True]
    assert Stock.objects.get(pk=second.pk).reserved == 2


def test_control_rows_taken_in_the_order_of_the_basket_deadlock():
    first, second = make_product(), make_product()
    each_has_one = Barrier(2)

    @transaction.atomic
    def buy_in_basket_order(basket):
        for number, product in enumerate(basket):
            Stock.objects.filter(pk=product.pk).update(reserved=F("reserved") + 1)
            if number == 0:
                each_has_one.wait(timeout=60)

    with pytest.raises(OperationalError, match="deadlock"):
        run_at_once(buy_in_basket_order, [(first, second), (second, first)])
