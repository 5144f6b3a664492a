"""Files into the shop: plans that write nothing, imports that write all or nothing."""

from contextlib import ExitStack
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from catalog import exports, imports, stock, thresholds
from catalog.files import skus
from catalog.files.sheets import UnusableFile
from catalog.models import (
    Category,
    Product,
    StatusChange,
    Stock,
    StockMovement,
    ThresholdChange,
)
from tests.catalog.ledger import assert_flips_are_a_chain, assert_ledger_explains
from tests.factories import make_category, make_product
from tests.threads import in_background, run_at_once, wait_for_blocked

pytestmark = pytest.mark.django_db

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


# -- New products -----------------------------------------------------------------


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


# -- The same again, and changes --------------------------------------------------


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


# -- All or nothing ---------------------------------------------------------------


def test_one_bad_line_leaves_everything_as_it_was():
    make_product(sku="A", on_hand=5)

    assert_nothing_changes(
        lambda: refused(
            "sku,name,price,on_hand", "A,Axe,9,7", "B,Bit,free,1", "C,Cap,3,1"
        )
    )


def test_bad_lines_are_named_by_their_place_in_the_file():
    found = refused(
        "sku,name,price,on_hand,description",
        'A,Axe,9,1,"two',
        'lines"',
        "",
        "B,Bit,-9,1,",
        "C,Cap,9,1.5,",
    )

    assert set(found) == {5, 6}
    assert found[5].startswith('price: "-9"')


def test_a_repeated_sku_names_the_first_line():
    found = refused("sku,name,price", "A,Axe,9", "B,Bit,9", "A,Adze,9")

    assert found == {4: "the SKU stands in line 2 already"}


def test_a_new_product_needs_a_name_and_a_price():
    make_product(sku="A")

    assert refused("sku,on_hand", "A,3", "B,3") == {
        3: "a new product needs name and price"
    }


def test_units_below_what_is_promised_are_refused():
    product = make_product(sku="A", on_hand=10)
    stock.reserve({product.pk: 2}, note=stock.Note())
    stock.allocate(product.pk, 3, note=stock.Note())

    found = refused("sku,on_hand", "A,4")

    assert "5 units are promised" in found[2]
    assert load("sku,on_hand", "A,5").changed == 1


def test_an_unusable_file_is_no_bad_line():
    with pytest.raises(UnusableFile):
        load("sku")


def test_a_database_error_half_way_leaves_nothing(monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(stock, "open_many", fail)

    def attempt():
        with pytest.raises(RuntimeError):
            load_fixture("ours.csv")

    assert_nothing_changes(attempt)


# -- Previews ---------------------------------------------------------------------


def test_a_preview_is_applied_when_nothing_has_changed():
    merchant = User.objects.create_user("merchant")
    make_product(sku="A", on_hand=5)
    plan = imports.plan(csv_file("sku,on_hand", "A,7"))

    result = imports.apply(plan, actor=merchant)

    assert result.on_hand_delta == 2
    assert StockMovement.objects.latest("pk").actor == merchant


@pytest.mark.parametrize("on_hand", [7, 5])
def test_a_preview_older_than_the_stock_is_refused(on_hand):
    product = make_product(sku="A", on_hand=5)
    plan = imports.plan(csv_file("sku,on_hand", f"A,{on_hand}"))
    stock.reserve({product.pk: 1}, note=stock.Note())
    stock.ship({product.pk: 1}, note=stock.Note())

    with pytest.raises(imports.PlanIsStale) as stale:
        imports.apply(plan)

    assert Stock.objects.get().on_hand == 4
    assert stale.value.plan.on_hand_delta == on_hand - 4


def test_a_preview_with_bad_lines_is_refused():
    plan = imports.plan(csv_file("sku,name,price", "A,Axe,free"))

    with pytest.raises(imports.ImportRefused):
        imports.apply(plan)


# -- There and back ---------------------------------------------------------------


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


# -- At once ----------------------------------------------------------------------


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


def test_a_generated_sku_never_takes_over_another_product():
    make_product("Pot, large", sku="POT-LARGE", handle="pot-large", on_hand=9)

    load(
        "Handle,Title,Option1 Value,Variant Inventory Qty,Variant Price",
        "pot,Pot,Large,1,5",
    )

    new = Product.objects.get(handle="pot")
    assert new.sku == skus.coded(("pot", "Large"))
    assert Stock.objects.get(product__sku="POT-LARGE").on_hand == 9
