"""Product files in tests: lines to files, files into the shop, what came of them."""

from io import BytesIO
from pathlib import Path

import pytest

from catalog import imports
from catalog.models import (
    Category,
    Product,
    StatusChange,
    Stock,
    StockMovement,
    ThresholdChange,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"
TABLES = (Product, Stock, StockMovement, Category, StatusChange, ThresholdChange)


def csv_file(*lines):
    return BytesIO("\n".join(lines).encode())


def load(*lines, **options):
    return imports.load(csv_file(*lines), name="test.csv", **options)


def load_fixture(name):
    with (FIXTURES / name).open("rb") as file:
        return imports.load(file)


def everything():
    """All rows an import might touch."""
    return [list(table.objects.order_by("pk").values()) for table in TABLES]


def bad_lines(plan):
    return {line.line: line.reason for line in plan.bad_lines}


def refused(*lines):
    with pytest.raises(imports.ImportRefused) as refusal:
        load(*lines)
    return bad_lines(refusal.value.plan)


def assert_nothing_changes(do):
    before = everything()
    do()
    assert everything() == before
