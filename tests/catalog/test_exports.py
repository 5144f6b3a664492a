"""What goes out comes back as it was."""

from decimal import Decimal
from io import BytesIO

import pytest

from catalog import exports, imports
from tests.catalog.product_files import csv_file, load_fixture
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db


def test_an_export_imports_without_a_change():
    load_fixture("woocommerce.csv")
    shelf = make_category("A > B \\ C", parent=make_category("=Sale"))
    make_product("=1+1", sku="-X", category=shelf, vendor="'@home", on_hand=3)
    make_product("Über\u2028lang", sku="a,b;c", description='"x"\r\ny\n\n=z', on_hand=0)
    lines = [
        ",".join(f'"{c.replace(chr(34), chr(34) * 2)}"' for c in line)
        for line in exports.lines()
    ]

    plan = imports.plan(csv_file(*lines))

    assert (plan.bad_lines, plan.changes, plan.unchanged) == ([], [], 7)
    signs = ("=", "+", "-", "@")
    formulas = [c for line in exports.lines() for c in line if c.startswith(signs)]
    assert formulas == []


def test_the_dashboards_export_imports_without_a_change(admin_client):
    shelf = make_category("Pots", parent=make_category("House"))
    make_product("=Pot", category=shelf, inherits_threshold=True, description="Clay\n")
    make_product(safety_threshold=3, compare_at_price=Decimal("20.00"))

    response = admin_client.post(
        "/admin/catalog/product/export/", {"format": "0", "resource": ""}
    )
    plan = imports.plan(BytesIO(response.content))

    assert (plan.bad_lines, plan.changes, plan.unchanged) == ([], [], 2)
    assert "computed" in plan.notices[0].text
