"""Products written by the thousand are as if each had been saved."""

from decimal import Decimal

import pytest

from catalog import product_rows
from catalog.copying import MANY
from catalog.models import Product
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db


def unsaved(number, **fields):
    """A product that stands in no table yet."""
    sku = f"NEW-{number}"
    values = {"name": f"Pot\t{number}", "slug": sku.lower(), "handle": "pots"}
    return Product(sku=sku, price=Decimal("9.5"), **values | fields)


def values_of(row):
    """What a product and its row of history have in common."""
    names = ("id", "sku", "name", "price", "category_id", "vendor", "created_at")
    return [getattr(row, name) for name in names]


@pytest.mark.parametrize("number", [2, MANY])
def test_created_products_have_keys_and_each_a_row_of_history(
    number, django_user_model
):
    ann = django_user_model.objects.create(username="ann")
    shelf = make_category("Kitchen")
    products = [unsaved(n, category=shelf) for n in range(number)]

    product_rows.create(products, actor=ann, reason="import of pots.csv")

    stored = Product.objects.filter(handle="pots").order_by("pk")
    assert [p.pk for p in stored] == [p.pk for p in products]
    assert [p.name for p in stored] == [p.name for p in products]
    history = Product.history.filter(handle="pots").order_by("id")
    assert list(map(values_of, history)) == list(map(values_of, stored))
    assert {h.history_type for h in history} == {"+"}
    assert {h.history_user for h in history} == {ann}
    assert {h.history_change_reason for h in history} == {"import of pots.csv"}
    assert make_product().pk > products[-1].pk


def test_named_fields_are_written_and_no_others():
    pot = make_product(name="Pot", compare_at_price=Decimal("7.00"))
    other = make_product(name="Jug")
    born = Product.objects.get(pk=pot.pk)
    pot.name, pot.compare_at_price, pot.vendor = "It's a\n\\pot", None, "not written"
    pot.category = make_category("Kitchen")

    names = {"name", "compare_at_price", "category"}
    product_rows.change([pot], names, actor=None, reason="import of pots.csv")

    after = Product.objects.get(pk=pot.pk)
    assert (after.name, after.compare_at_price) == ("It's a\n\\pot", None)
    assert (after.category, after.vendor) == (pot.category, born.vendor)
    assert after.created_at == born.created_at
    assert after.updated_at > born.updated_at
    assert values_of(after.history.latest()) == values_of(after)
    assert after.history.latest().history_type == "~"
    assert Product.objects.get(pk=other.pk).name == "Jug"


def test_two_changes_in_one_transaction_do_not_meet():
    pot = make_product(name="Pot")
    for name in ("Big pot", "Bigger pot"):
        pot.name = name
        product_rows.change([pot], {"name"}, actor=None, reason="")
    assert Product.objects.get(pk=pot.pk).name == "Bigger pot"
