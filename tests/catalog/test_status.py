"""One rule in two languages: Python's status is the database's generated column."""

from itertools import product as mixtures

import pytest

from catalog.models import Product, Stock
from catalog.status import StockStatus, stock_status

IN, LOW, OUT = StockStatus.IN, StockStatus.LOW, StockStatus.OUT
QUANTITIES = [0, 1, 2, 3, 5, 10, 1_000_000]


@pytest.mark.parametrize(
    ("quantity", "threshold", "level", "status"),
    [
        (0, 0, 0, OUT),
        (1, 0, 0, IN),
        (2, 2, 0, OUT),
        (1, 2, 5, OUT),
        (3, 2, 0, IN),
        (3, 2, 1, LOW),
        (4, 2, 1, IN),
        (7, 2, 5, LOW),
        (8, 2, 5, IN),
        (5, 1_000_000, 5, OUT),
    ],
)
def test_status_turns_exactly_at_the_threshold_and_the_level(
    quantity, threshold, level, status
):
    found = stock_status(quantity, safety_threshold=threshold, low_stock_level=level)

    assert found == status


@pytest.mark.django_db
def test_python_and_the_database_agree_on_every_mixture():
    rows = [
        Stock(
            on_hand=on_hand,
            reserved=reserved,
            allocated=min(allocated, on_hand - reserved),
            safety_threshold=threshold,
            low_stock_level=level,
        )
        for on_hand, reserved, allocated, threshold, level in mixtures(
            QUANTITIES, QUANTITIES, [0, 2], QUANTITIES, QUANTITIES
        )
        if reserved <= on_hand
    ]
    products = Product.objects.bulk_create(
        Product(sku=f"S{n}", slug=f"s{n}", handle="s", name="S", price=1)
        for n in range(len(rows))
    )
    for row, product in zip(rows, products, strict=True):
        row.product = product
    Stock.objects.bulk_create(rows)

    seen = set()
    for row in Stock.objects.all():
        expected = stock_status(
            row.on_hand - row.reserved,
            safety_threshold=row.safety_threshold,
            low_stock_level=row.low_stock_level,
        )
        assert row.status == expected
        assert row.available == row.on_hand - row.reserved - row.allocated
        assert row.sellable == max(0, row.available - row.safety_threshold)
        seen.add(expected)

    assert seen == {IN, LOW, OUT}
