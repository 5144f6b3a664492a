"""The three formats, known by their headers and read into the same rows."""

from datetime import date
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pytest

from catalog.files import formats
from catalog.files.sheets import UnusableFile

FIXTURES = Path(__file__).parents[2] / "fixtures"
TODAY = date(2026, 12, 12)
WOO = "ID,Type,SKU,Name,Stock,Sale price,Regular price"


def read(name):
    with (FIXTURES / name).open("rb") as file:
        return formats.read(file, today=TODAY)


def read_text(*lines):
    return formats.read(BytesIO("\n".join(lines).encode()), today=TODAY)


def by_line(found):
    return {row.line: row for row in found.rows}


def problems(found):
    return {row.line: row.problems for row in found.rows if row.problems}


# -- Ours -------------------------------------------------------------------------


def test_our_own_file_is_read():
    found = read("ours.csv")

    assert found.format == "Holdfast"
    assert problems(found) == {}
    lamp = found.rows[0]
    assert (lamp.line, lamp.sku) == (2, "LAMP-1")
    assert lamp.values == {
        "name": "Storm Lamp",
        "price": Decimal("24.90"),
        "compare_at_price": Decimal("29.90"),
        "on_hand": 15,
        "safety_threshold": 2,
        "low_stock_level": 5,
        "category": ("House", "Lamps"),
        "vendor": "Saltmarsh",
        "description": "Burns six hours.\nMade of tin.",
        "handle": "storm-lamp",
        "published": True,
    }
    rope = by_line(found)[5].values
    assert rope["category"] == ()
    assert rope["safety_threshold"] is None
    assert "handle" not in rope
    assert rope["published"] is False


def test_absent_columns_and_empty_units_say_nothing():
    found = read_text("sku,on_hand", "A,", "B,3")

    assert [row.values for row in found.rows] == [{}, {"on_hand": 3}]


def test_column_names_may_be_written_for_people():
    found = read_text("SKU;On hand;Is Published;Price", "A;3;no;9,90")

    assert found.rows[0].values == {
        "on_hand": 3,
        "published": False,
        "price": Decimal("9.90"),
    }


def test_a_decimal_comma_is_only_known_between_semicolons():
    found = read_text("sku,price", 'A,"9,90"')

    assert "is not a price" in problems(found)[2][0]


def test_computed_columns_are_passed_over_aloud():
    found = read_text("sku,on_hand,status,sellable", "A,3,in_stock,3")

    assert found.rows[0].values == {"on_hand": 3}
    assert "status, sellable" in found.notices[0].text


def test_every_problem_of_a_line_is_named_with_its_column():
    found = read_text(
        "sku,name,price,on_hand,published,handle",
        "A,,-1,1.5,perhaps,壺",
        ",Name,1,1,yes,x",
        f"{'x' * 81},{'y' * 201},1,1,yes,x",
    )

    assert [text.split(":")[0] for text in problems(found)[2]] == [
        "name",
        "price",
        "on_hand",
        "published",
        "handle",
    ]
    assert problems(found)[3] == ["sku: a SKU is needed"]
    assert [text.split(":")[0] for text in problems(found)[4]] == ["sku", "name"]


def test_lines_with_too_few_or_too_many_cells_are_named_in_order():
    found = read_text("sku,name,price", "A,a,1", "B,b", "C,c,1,", "D,d,1,9")

    assert [row.line for row in found.rows] == [2, 3, 4, 5]
    assert problems(found) == {
        3: ["2 cells, but the header has 3"],
        5: ["4 cells, but the header has 3"],
    }


# -- Shopify ----------------------------------------------------------------------


def test_shopify_variants_become_products():
    found = read("shopify.csv")

    rows = by_line(found)
    assert found.format == "Shopify"
    assert problems(found) == {}
    assert list(rows) == [2, 5, 6, 7, 8]
    assert [row.values["name"] for row in found.rows] == [
        "Harbour Kettle",
        "Dune Sock - S / Sand",
        "Dune Sock - M / Sand",
        "Dune Sock - M / Sea / Foam",
        "Tide Table",
    ]
    assert [row.values["on_hand"] for row in found.rows] == [7, 12, 0, 3, 25]
    assert rows[2].sku == "KETTLE-1"
    assert rows[7].key == ("dune-sock", "M", "Sea / Foam")


def test_shopify_variants_share_what_stands_in_the_first_line():
    rows = by_line(read("shopify.csv"))

    for line in (5, 6, 7):
        values = rows[line].values
        assert values["vendor"] == "Saltmarsh"
        assert values["category"] == ("Clothing",)
        assert values["description"] == "Warm wool."
        assert values["handle"] == "dune-sock"
        assert values["published"] is True


def test_shopify_prices_texts_and_drafts_are_understood():
    rows = by_line(read("shopify.csv"))

    kettle, table = rows[2].values, rows[8].values
    assert kettle["price"] == Decimal("39.50")
    assert kettle["compare_at_price"] == Decimal("49.50")
    assert kettle["description"] == ("Boils a litre.\n- Steel\n- Whistles & sings")
    assert table["compare_at_price"] is None
    assert table["published"] is False
    assert "description" not in table


def test_shopify_names_of_columns_since_2024_are_known():
    found = read("shopify_since_2024.csv")

    whistle, bag = found.rows
    assert problems(found) == {}
    assert whistle.sku == "WHISTLE"
    assert whistle.values["category"] == ("Toys",)
    assert whistle.values["on_hand"] == 40
    assert bag.values["name"] == "Net Bag - Large"
    assert bag.values["published"] is False
    assert bag.key == ("net-bag", "Large")


SHOPIFY = (
    "Handle,Title,Variant SKU,Variant Inventory Qty,Variant Price,Image Src,Status"
)


def test_shopify_problems_name_shopifys_columns():
    found = read_text(
        SHOPIFY,
        "pot,Pot,A,-3,9.99,,",
        "cup,Cup,B,1,free,,",
        ",Lid,C,1,2,,",
        "jar,Jar,D,1,2,,sold",
        "only-a-picture,,,,,pot.jpg,",
    )

    named = {line: texts[0] for line, texts in problems(found).items()}
    assert named[2].startswith('Variant Inventory Qty: "-3" is below zero')
    assert named[3].startswith('Variant Price: "free" is not a price')
    assert named[4] == "Handle: a handle is needed"
    assert named[5].startswith('Status: "sold"')
    assert [row.line for row in found.rows] == [2, 3, 4, 5]


def test_shopify_title_may_come_after_other_lines_of_its_handle():
    found = read_text(SHOPIFY, "pot,,A,1,9,,", "cup,Cup,B,1,9,,", "pot,Pot,C,1,9,,")

    assert [row.values["name"] for row in found.rows] == ["Pot", "Cup", "Pot"]


# -- WooCommerce ------------------------------------------------------------------


def test_woocommerce_products_and_variations_are_read():
    found = read("woocommerce.csv")

    rows = by_line(found)
    assert found.format == "WooCommerce"
    assert problems(found) == {}
    assert [row.values["name"] for row in found.rows] == [
        "Oar, short",
        "Smock - S / Red",
        "Smock - M, Blue",
        "Cleat - Brass",
        "=SUM of parts",
    ]
    assert [row.sku for row in found.rows] == [
        "OAR-SHORT",
        "SMOCK-S-RED",
        "",
        "",
        "=SUM",
    ]
    assert rows[5].key == ("woo", "14")
    assert rows[2].values["category"] == ("Boats", "Oars, paddles")
    assert rows[2].values["description"] == "Ash wood.\n\nLength 1.8 m."


def test_woocommerce_sale_price_is_the_price_and_the_regular_one_the_former():
    rows = by_line(read("woocommerce.csv"))

    oar, smock = rows[2].values, rows[4].values
    assert (oar["price"], oar["compare_at_price"]) == (Decimal(35), Decimal(40))
    assert (smock["price"], smock["compare_at_price"]) == (Decimal(60), None)


def test_woocommerce_variations_inherit_what_they_do_not_say():
    rows = by_line(read("woocommerce.csv"))

    red, blue, brass = rows[4], rows[5], rows[7]
    assert red.values["category"] == blue.values["category"] == ("Clothing", "Tops")
    assert red.values["description"] == "Canvas smock."
    assert red.values["low_stock_level"] == 4
    assert blue.values["low_stock_level"] == 1
    assert red.for_new == blue.for_new == {"handle": "smock"}
    assert brass.values["category"] == ("Boats",)
    assert brass.values["published"] is False


def test_woocommerce_lines_without_stock_of_their_own_are_named():
    found = read("woocommerce.csv")

    assert "on_hand" not in by_line(found)[7].values
    assert {notice.line for notice in found.notices} == {7, 8}
    assert by_line(found)[9].values["published"] is False


@pytest.mark.parametrize(
    ("starts", "ends", "price"),
    [
        ("", "", 5),
        ("2026-12-12", "2026-12-12", 5),
        ("2026-12-01 00:00:00", "", 5),
        ("2026-12-13", "", 9),
        ("", "2026-12-11 23:59:59", 9),
    ],
)
def test_woocommerce_sales_end_when_they_end(starts, ends, price):
    found = read_text(
        "Type,SKU,Name,Date sale price starts,Date sale price ends,"
        "Sale price,Regular price",
        f"simple,A,Axe,{starts},{ends},5,9",
    )

    assert found.rows[0].values["price"] == price


def test_woocommerce_problems_are_named():
    found = read_text(
        f"{WOO},Parent,Date sale price ends",
        "1,variation,A,Axe,1,,5,MISSING,",
        "2,variation,B,Bit,1,,5,,",
        "3,simple,C,Cap,'-2,,5,,",
        "4,simple,D,Dye,1,4,5,,tomorrow",
        "5,simple,E,Eel,1,4.999,5,,",
    )

    named = {line: texts[0] for line, texts in problems(found).items()}
    assert named[2] == 'Parent: the file has no variable product "MISSING"'
    assert named[3] == 'Parent: the file has no variable product ""'
    assert named[4].startswith('Stock: "-2" is below zero')
    assert named[5].startswith('Date sale price: "tomorrow"')
    assert named[6].startswith('Sale price: "4.999"')


# -- What is not known ------------------------------------------------------------


def test_an_unknown_header_says_which_formats_and_columns_are_known():
    with pytest.raises(UnusableFile) as error:
        read_text("article,title,amount", "A,a,1")

    for part in (
        "Holdfast",
        "Shopify",
        "WooCommerce",
        "Variant Price",
        "Regular price",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("sku,onhand", '"onhand" (do you mean “on_hand”?). Remove or rename'),
        ("sku,name,price,on_hnad", '"on_hnad" (do you mean “on_hand”?)'),
        ("SKU;Prise;Colour", '"Prise" (do you mean “price”?), "Colour". Remove'),
        ("sku," + ",".join(f"x{n}" for n in range(10)), '"x7", 2 more. Remove'),
        ("sku", "only the column “sku”"),
    ],
)
def test_a_column_that_is_not_ours_is_named_with_the_one_it_may_mean(header, told):
    with pytest.raises(UnusableFile) as error:
        read_text(header, "A,1,1,1,1,1,1,1,1,1,1")

    assert told in str(error.value)
    assert "the columns are sku, name, price, " in str(error.value)


def test_a_column_that_stands_twice_is_refused():
    with pytest.raises(UnusableFile, match='twice in the header: "price"'):
        read_text("sku,price,name,Price", "A,1,a,2")


def test_a_file_of_pictures_only_is_refused():
    with pytest.raises(UnusableFile, match="no products"):
        read_text(SHOPIFY, "pot,,,,,pot.jpg,")


def test_a_file_that_is_not_utf8_says_how_it_was_read():
    data = "sku,name\nA,Größe\n".encode("cp1252")

    found = formats.read(BytesIO(data), today=TODAY)

    assert found.rows[0].values["name"] == "Größe"
    assert "Windows-1252" in found.notices[0].text
