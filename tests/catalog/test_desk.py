import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog import desk, many, stock
from catalog.models import Stock
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db

DESK = "/admin/catalog/stock/"
ADDRESSES = [
    "?view=all",
    "?q=lamp",
    "?q=lamp&o=-on_hand",
    "?status=out_of_stock",
    "?level=low&o=sellable",
    "?threshold=inherited&flash=none",
    *(f"?o=-{name}" for name in desk.COLUMNS),
]


def queries(client, address):
    with CaptureQueriesContext(connection) as captured:
        response = client.get(DESK + address)
    assert response.context["lines"], address
    return [query["sql"] for query in captured]


def test_desk_runs_the_same_queries_at_a_hundred_products_and_at_thousands(
    admin_client,
):
    make_category()
    many.load(100)
    admin_client.get(DESK)
    few = {address: queries(admin_client, address) for address in ADDRESSES}
    many.load(4000)

    for address in ADDRESSES:
        now = queries(admin_client, address)
        assert len(now) == len(few[address]) <= 9, address
        assert not any("COUNT(" in sql or "OFFSET" in sql for sql in now), address


def names(page):
    return [row.product.name for row in page.rows]


@pytest.mark.parametrize("order", ["on_hand", "-on_hand", "name", "-name", "status"])
def test_pages_follow_each_other_without_a_gap_or_a_repeat(order):
    for number in range(11):
        make_product(f"P{number:02}", on_hand=number % 3)
    rows = Stock.objects.all()
    whole = names(desk.page(rows, order=order, size=50))

    walked, cursor, back = [], "", []
    while True:
        page = desk.page(rows, order=order, cursor=cursor, size=4)
        walked += names(page)
        back.append(page.previous)
        if not page.next:
            break
        cursor = page.next

    assert walked == whole
    assert names(desk.page(rows, order=order, cursor=back[-1], size=4)) == whole[4:8]


def test_order_is_that_of_the_figure():
    for name, on_hand in (("Few", 1), ("Many", 90), ("Some", 20)):
        make_product(name, on_hand=on_hand)

    rising = desk.page(Stock.objects.all(), order="on_hand", size=5)
    falling = desk.page(Stock.objects.all(), order="-on_hand", size=5)

    assert names(rising) == ["Few", "Some", "Many"]
    assert names(falling) == ["Many", "Some", "Few"]


@pytest.mark.parametrize("cursor", ["x", "W10", "0b5d4b00-0000-4000-8000-000000000000"])
def test_cursor_of_another_list_shows_the_first_page(cursor):
    make_product("Clay pot")

    page = desk.page(Stock.objects.all(), order="name", cursor=cursor, size=5)

    assert names(page) == ["Clay pot"]


@pytest.mark.parametrize("asked", ["", "nonsense", "-", "password", "2"])
def test_order_nobody_knows_is_by_name(asked):
    assert desk.known_order(asked) == "name"


def test_page_ignores_what_came_before_it():
    pots = [make_product(f"P{number}") for number in range(6)]
    first = desk.page(Stock.objects.all(), order="name", size=3)
    make_product("A new one at the top")

    second = desk.page(Stock.objects.all(), order="name", cursor=first.next, size=3)

    assert names(second) == [pot.name for pot in pots[3:]]


def test_units_set_aside_are_found_by_the_filter(admin_client):
    pot = make_product("Clay pot")
    make_product("Jug")
    stock.allocate(pot.pk, 2, note=stock.Note())

    response = admin_client.get(f"{DESK}?flash=allocated&o=-allocated")

    assert [line.name for line in response.context["lines"]] == ["Clay pot"]
