"""What changes many products takes as many statements for twelve of them as for two."""

from io import BytesIO

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog import imports, levels, thresholds
from catalog.levels import Operation, Rule
from catalog.models import StatusChange, Stock, ThresholdChange
from tests.factories import make_product

pytestmark = pytest.mark.django_db

RULE = Rule("safety_threshold", Operation.PERCENT, 100)  # out of stock, each of them


def counted(work, *args, **kwargs):
    """What the work returns, and how many statements it takes."""
    with CaptureQueriesContext(connection) as queries:
        result = work(*args, **kwargs)
    return result, len(queries)


def test_a_rule_and_its_undoing():
    thresholds.store()
    taken = []
    for number in (2, 12):
        ids = [make_product(on_hand=10 + n).pk for n in range(number)]
        plan, planning = counted(levels.plan, ids, RULE)
        batch, applying = counted(levels.apply, ids, RULE, mark=plan.mark)
        undone, undoing = counted(thresholds.undo, batch)
        taken.append((planning, applying, undoing))

        assert ThresholdChange.objects.filter(batch=batch).count() == number
        assert ThresholdChange.objects.filter(batch=undone).count() == number
        flips = StatusChange.objects.filter(product__in=ids)
        assert flips.filter(to_status="out_of_stock").count() == number
        assert flips.filter(from_status="out_of_stock").count() == number
    assert taken[0] == taken[1]


def test_an_import_of_known_and_of_new_products():
    thresholds.store()
    taken = []
    for number in (2, 12):
        known = [make_product(on_hand=1).sku for _ in range(number)]
        new = [f"NEW-{number}-{n}" for n in range(number)]
        statements = []
        for skus in (known, new):
            lines = [f"{sku},Pot of {sku},9.00,50,7" for sku in skus]
            text = "\n".join(["sku,name,price,on_hand,safety_threshold", *lines])
            statements.append(counted(imports.load, BytesIO(text.encode()))[1])
        taken.append(statements)

        rows = Stock.objects.filter(product__sku__in=[*known, *new])
        assert set(rows.values_list("on_hand", "safety_threshold")) == {(50, 7)}
        assert rows.count() == 2 * number
    assert taken[0] == taken[1]
