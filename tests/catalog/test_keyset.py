from decimal import Decimal

import pytest

from catalog import keyset
from catalog.models import Product
from tests.factories import make_product

pytestmark = pytest.mark.django_db


def walk(rows, *, by, size, start=""):
    """Every page from the first to the last, as lists of names."""
    pages, cursor = [], start
    while cursor is not None:
        page = keyset.page(rows, by=by, cursor=cursor, size=size)
        pages.append([row.name for row in page.items])
        cursor = page.next
    return pages


@pytest.mark.parametrize("by", ["price", "-price", "name", "-created_at"])
def test_pages_hold_every_row_once_and_in_order(by):
    for name, price in [("a", 3), ("b", 1), ("c", 2), ("d", 1), ("e", 3)]:
        make_product(name, price=Decimal(price))
    column, sign = by.removeprefix("-"), "-" if by.startswith("-") else ""
    in_order = [p.name for p in Product.objects.order_by(by, f"{sign}pk")]

    pages = walk(Product.objects.all(), by=by, size=2)

    assert [len(page) for page in pages] == [2, 2, 1], column
    assert [name for page in pages for name in page] == in_order


def test_the_way_back_is_the_way_there():
    for name in "abcde":
        make_product(name)
    rows = Product.objects.all()
    first = keyset.page(rows, by="name", size=2)
    second = keyset.page(rows, by="name", size=2, cursor=first.next)

    back = keyset.page(rows, by="name", size=2, cursor=second.previous)

    assert [row.name for row in back.items] == ["a", "b"]
    assert (back.previous, back.next) == (None, first.next)


def test_a_new_row_in_front_does_not_shift_the_next_page():
    for name in "bcde":
        make_product(name)
    first = keyset.page(Product.objects.all(), by="name", size=2)
    make_product("a")

    second = keyset.page(Product.objects.all(), by="name", size=2, cursor=first.next)

    assert [row.name for row in second.items] == ["d", "e"]


@pytest.mark.parametrize(
    "cursor", ["x", "bnVsbA", "WzEsMl0", "WzAsICJ4IiwgIjEiXQ", "é"]
)
def test_a_text_that_is_no_cursor_is_refused(cursor):
    with pytest.raises(keyset.BadCursor):
        keyset.page(Product.objects.all(), by="price", cursor=cursor)
