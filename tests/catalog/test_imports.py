"""Files into the shop: products, stock and levels, and the same file again."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from catalog import imports, thresholds
from catalog.files import skus
from catalog.models import (
    Category,
    Product,
    StatusChange,
    Stock,
    StockMovement,
    ThresholdChange,
)
from tests.catalog.ledger import assert_flips_are_a_chain, assert_ledger_explains
from tests.catalog.product_files import (
    assert_nothing_changes,
    csv_file,
    load,
    load_fixture,
)
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db


# -- New products ----------------------------------------------------------------


def test_our_file_becomes_products_with_stock_and_levels():
    result = load_fixture("ours.csv")

    lamp = Product.objects.select_related("stock", "category").get(sku="LAMP-1")
    assert (result.created, result.on_hand_delta) == (3, 1019)
    assert (lamp.name, lamp.price) == ("Storm Lamp", Decimal("24.90"))
    assert lamp.compare_at_price == Decimal("29.90")
    assert lamp.description == "Burns six hours.\nMade of tin."
    assert (lamp.handle, lamp.slug) == ("storm-lamp", "storm-lamp")
    assert str(lamp.category.parent) == "House"
    assert (lamp.stock.on_hand, lamp.stock.safety_threshold) == (15, 2)
    assert not lamp.stock.inherits_threshold
    assert Stock.objects.get(product__sku="LAMP-2").inherits_threshold
    assert not Product.objects.get(sku="ROPE").is_published


def test_units_enter_by_the_ledger_with_the_files_name_as_cause():
    merchant = User.objects.create_user("merchant")

    load("sku,name,price,on_hand", "A,Axe,9,4", actor=merchant)

    movement = StockMovement.objects.get()
    product = Product.objects.get()
    assert (movement.kind, movement.cause) == ("import", "import:test.csv")
    assert movement.actor == product.history.get().history_user == merchant
    assert product.history.get().history_change_reason == "import of test.csv"
    assert_ledger_explains(product)


def test_new_products_are_no_crossings():
    load("sku,name,price,on_hand", "A,Axe,9,4", "B,Bit,9,0")

    assert not StatusChange.objects.exists()


def test_a_new_product_inherits_from_its_category_and_the_store():
    thresholds.change_store(safety_threshold=1, low_stock_level=7)
    make_category("Tools", safety_threshold=3)

    load("sku,name,price,category", "A,Axe,9,tools > Sharp", "B,Bit,9,")

    axe, bit = Stock.objects.order_by("product__sku")
    assert (axe.safety_threshold, axe.low_stock_level) == (3, 7)
    assert (bit.safety_threshold, bit.low_stock_level) == (1, 7)
    assert axe.inherits_threshold
    assert axe.inherits_low_stock_level


def test_a_new_product_without_units_starts_with_none_and_says_so():
    plan = imports.plan(csv_file("sku,name,price", "A,Axe,9"))

    assert [(notice.line, "A" in notice.text) for notice in plan.notices] == [(2, True)]


def test_shopify_variants_get_skus_and_a_common_handle():
    result = load_fixture("shopify.csv")

    socks = Product.objects.filter(handle="dune-sock").order_by("sku")
    assert (result.created, result.on_hand_delta) == (5, 47)
    assert [sock.sku for sock in socks] == [
        "DUNE-SOCK-M-SAND",
        "DUNE-SOCK-M-SEA-FOAM",
        "DUNE-SOCK-S-SAND",
    ]
    assert {sock.category.name for sock in socks} == {"Clothing"}
    assert len({sock.slug for sock in Product.objects.all()}) == 5


def test_woocommerce_products_come_with_their_tree_of_categories():
    load_fixture("woocommerce.csv")

    oar = Product.objects.get(sku="OAR-SHORT")
    assert (oar.category.name, oar.category.parent.name) == ("Oars, paddles", "Boats")
    assert Category.objects.count() == 4
    assert oar.stock.low_stock_level == 2
    assert Product.objects.filter(sku__in=["WOO-14", "WOO-16"]).count() == 2


def test_products_of_one_name_get_slugs_of_their_own():
    make_product("Axe", slug="axe", sku="OLD")

    load("sku,name,price", "A,Axe,9", "B,Axe,9", "a,Axe,9", "壺,壺,9")

    slugs = set(Product.objects.exclude(sku="OLD").values_list("slug", flat=True))
    assert len(slugs) == 4
    assert {"axe-a", "axe-b", "product"} < slugs


def test_a_generated_sku_never_takes_over_another_product():
    make_product("Pot, large", sku="POT-LARGE", handle="pot-large", on_hand=9)

    load(
        "Handle,Title,Option1 Value,Variant Inventory Qty,Variant Price",
        "pot,Pot,Large,1,5",
    )

    new = Product.objects.get(handle="pot")
    assert new.sku == skus.coded(("pot", "Large"))
    assert Stock.objects.get(product__sku="POT-LARGE").on_hand == 9


# -- The same again, and changes -------------------------------------------------


@pytest.mark.parametrize(
    "name", ["ours.csv", "shopify.csv", "shopify_since_2024.csv", "woocommerce.csv"]
)
def test_the_same_file_again_changes_nothing(name):
    rows = load_fixture(name).created

    def again():
        result = load_fixture(name)
        assert (result.created, result.changed, result.unchanged) == (0, 0, rows)

    assert_nothing_changes(again)


def test_a_plan_writes_nothing_and_says_all():
    load_fixture("ours.csv")
    file = csv_file(
        "sku,name,price,on_hand,category,published",
        "LAMP-1,Storm Lamp,25.90,12,House,yes",
        "LAMP-2,Storm Lamp - Large,34.90,4,house > lamps,yes",
        "NEW,New,1,1,Shed,yes",
    )
    plans = []

    assert_nothing_changes(lambda: plans.append(imports.plan(file)))

    (plan,) = plans
    assert [change.sku for change in plan.created] == ["NEW"]
    assert [str(change) for change in plan.changed[0].fields] == [
        "price 24.90 -> 25.90",
        "on_hand 15 -> 12 (-3)",
        "category House > Lamps -> House",
    ]
    assert (plan.unchanged, plan.on_hand_delta) == (1, -2)


def test_changes_are_written_with_history_and_nothing_else_is_touched():
    load_fixture("ours.csv")
    before = Product.objects.get(sku="LAMP-1")

    load("sku,price,published", "LAMP-1,19.90,no", "LAMP-2,34.90,yes")

    after = Product.objects.get(sku="LAMP-1")
    record = after.history.latest()
    assert (after.price, after.is_published) == (Decimal("19.90"), False)
    assert (after.name, after.slug, after.created_at) == (
        before.name,
        before.slug,
        before.created_at,
    )
    assert after.updated_at > before.updated_at
    assert record.history_type == "~"
    assert (record.price, record.created_at) == (after.price, before.created_at)
    assert Product.objects.get(sku="LAMP-2").history.count() == 1


def test_a_count_from_a_file_flips_status_once():
    product = make_product(sku="A", on_hand=5, safety_threshold=2)

    load("sku,on_hand", "A,2")
    load("sku,on_hand", "A,2")

    flip = StatusChange.objects.get()
    assert (flip.to_status, flip.cause) == ("out_of_stock", "import:test.csv")
    assert_ledger_explains(product)


def test_levels_from_a_file_change_in_one_batch_that_can_be_undone():
    product = make_product(sku="A", on_hand=5, safety_threshold=2)

    load("sku,safety_threshold,low_stock_level", "A,,3")

    row = Stock.objects.get()
    assert (row.inherits_threshold, row.safety_threshold) == (True, 0)
    assert row.low_stock_level == 3
    thresholds.undo(ThresholdChange.objects.get().batch)
    assert Stock.objects.get().safety_threshold == 2
    assert_flips_are_a_chain(product, "in_stock")


def test_an_heir_that_moves_inherits_from_its_new_category():
    make_category("Tools", safety_threshold=6)
    make_product(sku="A", inherits_threshold=True)

    load("sku,category", "A,Tools")

    assert Stock.objects.get().safety_threshold == 6


def test_units_and_levels_of_one_line_flip_status_as_one_chain():
    product = make_product(sku="A", on_hand=5, safety_threshold=2, low_stock_level=1)

    load("sku,on_hand,safety_threshold,low_stock_level", "A,50,45,9")

    assert_flips_are_a_chain(product, "in_stock")
    assert_ledger_explains(product)


def test_a_product_that_never_had_stock_gets_its_row():
    Product.objects.create(sku="A", slug="a", handle="a", name="A", price=1)

    result = load("sku,on_hand", "A,4")

    assert result.changed == 1
    assert Stock.objects.get().on_hand == 4
    assert_ledger_explains(Product.objects.get())


def test_line_ends_and_white_space_are_no_change():
    make_product("Two  words", sku="A", description="One\r\nTwo ")

    plan = imports.plan(csv_file("sku,name,description", 'A,Two words,"One\nTwo"'))

    assert plan.unchanged == 1
