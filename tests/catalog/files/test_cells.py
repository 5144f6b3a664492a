"""Texts to values: what is taken, what is refused, and that both ways agree."""

import time
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.files import cells
from catalog.files.cells import CellError


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("9.99", "9.99"),
        ("0", "0.00"),
        ("10.5", "10.50"),
        ("7.5000", "7.50"),
        ("9999999.99", "9999999.99"),
    ],
)
def test_prices_are_read_exactly(text, amount):
    found = cells.price(text)

    assert found == Decimal(amount)
    assert str(found) == amount


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "+1",
        "1.999",
        "1,99",
        "1e5",
        "NaN",
        "inf",
        "Infinity",
        "$5",
        "5 EUR",
        "1 000",
        "0x10",
        ".5",
        "5.",
        "٣",
        "10000000",
        "9" * 400,
    ],
)
def test_other_texts_are_no_price(text):
    with pytest.raises(CellError):
        cells.price(text)


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("-0", 0), ("12.0", 12), ("1000000", 1_000_000)]
)
def test_quantities_are_whole_numbers(text, number):
    assert cells.quantity(text) == number


@pytest.mark.parametrize(
    "text", ["1.5", "1e3", "NaN", "many", "1000001", "٣", "9" * 99]
)
def test_other_texts_are_no_quantity(text):
    with pytest.raises(CellError):
        cells.quantity(text)


def test_a_negative_level_is_no_miscount():
    assert cells.level("-0") == 0
    with pytest.raises(CellError, match=r'"-4" is below zero$'):
        cells.level("-4")


def test_a_negative_quantity_says_what_to_do():
    with pytest.raises(CellError, match=r"below zero: .* count the units"):
        cells.quantity("-2")


@pytest.mark.parametrize("text", ["perhaps", "2", "", "ja"])
def test_other_texts_are_neither_yes_nor_no(text):
    with pytest.raises(CellError):
        cells.flag(text)


def test_flags_of_three_shops_are_known():
    yes = [cells.flag(text) for text in ("TRUE", "1", "yes")]
    no = [cells.flag(text) for text in ("False", "0", "-1", "no")]

    assert (set(yes), set(no)) == ({True}, {False})


def test_days_are_read_with_and_without_a_time():
    days = {cells.day("2026-12-12"), cells.day("2026-12-12 20:00:00")}

    assert days == {date(2026, 12, 12)}
    for text in ("12/12/2026", "2026-13-01", "soon"):
        with pytest.raises(CellError):
            cells.day(text)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("plain & simple", "plain & simple"),
        ("<p>One</p><p>Two &amp; &lt;three&gt;</p>", "One\n\nTwo & <three>"),
        ("<ul>\n<li>tin</li>\n<li>brass</li>\n</ul>", "- tin\n- brass"),
        ("a<script>alert('<p>')</script>b<style>p{}</style>c<!-- d -->e", "abce"),
        ("a<script>never closed", "a"),
        ("3 < 4 and 5 > 4", "3 < 4 and 5 > 4"),
        ('<a href="javascript:alert(1)" onclick="x()">link</a>', "link"),
        ("two\nlines with <b>bold</b>", "two\nlines with bold"),
        ("line<br/>line", "line\nline"),
    ],
)
def test_html_becomes_what_a_reader_sees(markup, text):
    assert cells.plain_text(markup) == text


@pytest.mark.parametrize(
    "piece",
    ["<", "<a ", "<!--", "<script>", "</script ", "</", "&#", "<li ", "<?", "<p>"],
)
def test_html_made_to_be_slow_is_read_at_once(piece):
    began = time.process_time()  # of this process alone, however busy the machine is

    cells.plain_text(piece * (130_000 // len(piece)))

    assert time.process_time() - began < 2  # it takes a fiftieth of that


NAMES = st.lists(
    st.text(st.sampled_from("ab >,\\'=é"), min_size=1).filter(str.strip), min_size=1
)


@given(NAMES)
def test_category_paths_come_back_as_they_were(names):
    path = tuple(" ".join(name.split()) for name in names)

    assert cells.paths(cells.path_text(path)) == [path]


def test_the_first_of_several_paths_can_be_told_apart():
    found = cells.paths(r"A > B\, C, D > , > ,E", separator=",")

    assert found == [("A", "B, C"), ("D",), ("E",)]


@given(st.text(st.sampled_from("'=+-@ab1\t")))
def test_guarded_texts_come_back_and_are_never_formulas(text):
    guarded = cells.guarded(text)

    assert cells.unguarded(guarded) == text
    assert guarded[:1] not in {"=", "+", "-", "@", "\t"}
