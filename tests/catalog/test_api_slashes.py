"""Products whose SKU holds slashes, also those that end like another call's address."""

import pytest

from tests.api import Api, as_staff
from tests.factories import make_product

pytestmark = pytest.mark.django_db

ENDS = ["stock", "movements", "stock/movements", "stock/stock"]


@pytest.fixture
def clerk():
    return as_staff("catalog.view_stock", "catalog.change_stock")


@pytest.mark.parametrize("path", ["SHIRT/RED/M", "SHIRT%2FRED%2FM", "SHIRT%2fRED/M"])
def test_a_sku_may_hold_slashes(path):
    make_product(sku="SHIRT/RED/M")

    assert Api().get(f"/products/{path}").json()["sku"] == "SHIRT/RED/M"


@pytest.mark.parametrize("end", ENDS)
def test_a_product_is_found_by_its_whole_sku(end):
    make_product(sku="SHIRT", on_hand=7)
    make_product(sku=f"SHIRT/{end}")

    listed = Api().get(f"/products?sku=SHIRT/{end}").json()

    assert [one["sku"] for one in listed["items"]] == [f"SHIRT/{end}"]
    assert listed["next"] is None


@pytest.mark.parametrize("end", ENDS)
def test_its_stock_and_ledger_are_never_those_of_another(clerk, end):
    make_product(sku="SHIRT", on_hand=7)
    make_product(sku=f"SHIRT/{end}", on_hand=3)

    stock = clerk.get(f"/products/SHIRT/{end}/stock").json()
    movements = clerk.get(f"/products/SHIRT/{end}/movements").json()["items"]
    changed = clerk.patch(
        f"/products/SHIRT/{end}/stock",
        {"on_hand": 4, "expected_version": stock["version"]},
    )

    assert (stock["sku"], stock["on_hand"]) == (f"SHIRT/{end}", 3)
    assert [row["on_hand_after"] for row in movements] == [3]
    assert (changed.json()["sku"], changed.json()["on_hand"]) == (f"SHIRT/{end}", 4)
    assert clerk.get("/products/SHIRT/stock").json()["on_hand"] == 7


def test_a_product_that_is_not_published_is_not_found_by_its_sku():
    make_product(sku="HIDDEN", is_published=False)

    assert Api().get("/products?sku=HIDDEN").json()["items"] == []
