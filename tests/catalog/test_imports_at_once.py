"""Imports beside imports, orders and other people's new products."""

from contextlib import ExitStack

import pytest
from django.db import transaction

from catalog import imports, stock
from catalog.models import Product, Stock, StockMovement
from tests.catalog.product_files import bad_lines, load, load_fixture
from tests.factories import make_product
from tests.threads import in_background, run_at_once, wait_for_blocked

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_imports_at_once_run_one_after_the_other():
    results = run_at_once(load_fixture, ["ours.csv"] * 4)

    assert sorted(result.created for result in results) == [0, 0, 0, 3]
    assert StockMovement.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_an_import_waits_for_an_order_and_sees_what_it_took():
    product = make_product(sku="A", on_hand=5)
    outcomes = []

    def count():
        try:
            load("sku,on_hand", "A,1")
        except imports.ImportRefused as refusal:
            outcomes.append(bad_lines(refusal.plan)[2])

    with ExitStack() as afterwards, transaction.atomic():
        stock.reserve({product.pk: 2}, note=stock.Note())
        afterwards.enter_context(in_background(count))
        wait_for_blocked(1)

    assert "2 units are promised" in outcomes[0]
    assert Stock.objects.get().on_hand == 5


@pytest.mark.django_db(transaction=True)
def test_orders_are_taken_while_an_import_runs_that_counts_nothing():
    product = make_product(sku="A", on_hand=5)

    with transaction.atomic():
        load("sku,name,price,category", "A,Axe,8,", "B,Bit,9,Tools")
        run_at_once(
            lambda pk: stock.reserve({pk: 1}, note=stock.Note()), [product.pk] * 3
        )

    assert Stock.objects.get(pk=product.pk).reserved == 3


@pytest.mark.django_db(transaction=True)
def test_a_product_that_somebody_else_makes_meanwhile_stops_the_import():
    def attempt():
        with pytest.raises(imports.PlanIsStale) as stale:
            load("sku,name,price", "A,Axe,9", "B,Bit,9")
        return stale.value.plan.unchanged

    with ExitStack() as afterwards, transaction.atomic():
        Product.objects.create(sku="A", slug="x", handle="x", name="Axe", price=9)
        attempts = afterwards.enter_context(in_background(attempt))
        wait_for_blocked(1)

    assert attempts[0].result() == 1
    assert Product.objects.count() == 1
