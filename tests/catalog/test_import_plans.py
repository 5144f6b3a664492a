"""Plans that write nothing, refusals that leave everything, and any file at all."""

import pytest
from django.contrib.auth.models import User
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import imports, stock
from catalog.files.sheets import UnusableFile
from catalog.models import Stock, StockMovement
from tests.catalog.product_files import (
    FIXTURES,
    assert_nothing_changes,
    csv_file,
    load,
    load_fixture,
    refused,
)
from tests.factories import make_product

pytestmark = pytest.mark.django_db


# -- All or nothing --------------------------------------------------------------


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


# -- Previews --------------------------------------------------------------------


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


# -- Anything at all -------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *("", "-1", "1e9", "9", "yes", "LAMP-1", "id:15", "parent", "variation"),
        *('"', "\n", ">", "\\", "'=", "<!--", "&#0;", "\0", "\x1f"),
        *("壺", "㎯" * 30, "x" * 250),
    ]
)
EDITS = st.lists(st.tuples(st.integers(0, 400), PIECES), min_size=1, max_size=5)
NAMES = st.sampled_from(sorted(path.name for path in FIXTURES.glob("*.csv")))


@settings(max_examples=60, deadline=None)
@given(NAMES, EDITS)
def test_a_spoilt_file_is_refused_or_imported_once_but_nothing_escapes(name, edits):
    cells = (FIXTURES / name).read_text(encoding="utf-8").split(",")
    for place, piece in edits:
        cells[place % len(cells)] = piece
    text = ",".join(cells)

    try:
        load(text)
    except (UnusableFile, imports.ImportRefused):
        return

    plan = imports.plan(csv_file(text))
    assert (plan.bad_lines, plan.changes) == ([], [])
