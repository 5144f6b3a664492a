"""One shop, one truth: every page, file and answer shows the same numbers.

The shop has one product, of which some units are held and sold in the shop, and some
held, sold and left in a flash sale. What all of that comes to is written down once.
"""

import csv
import re
from decimal import Decimal
from io import StringIO
from uuid import uuid4

import pytest
from django.urls import reverse

from catalog.models import Stock
from sales import audit, checkout, counters, flash, orders, sync, tokens
from sales.models import FlashSaleItem
from tests.factories import make_loaded_item, make_order, make_product, make_staff

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]

# 40 units, threshold 4; 3 held and 2 paid in the shop; 12 set aside for a flash sale,
# of which 2 are held and 5 are paid, and one claim for 9 got nothing.
STOCK = {
    "on_hand": 33,  # 40 - 2 - 5
    "reserved": 5,  # 3 + 2
    "allocated": 5,  # 12 - 2 - 5
    "available": 23,
    "safety_threshold": 4,
    "sellable": 19,
}
FLASH = {"units": 12, "left": 5, "floor": 0, "held": 2, "paying": 0, "paid": 5}
REVENUE = Decimal("25.00")  # 5 at 5.00


@pytest.fixture
def shop(sale_redis, client):
    """The item of the flash sale; the client is signed in and may see everything."""
    pot = make_product("Clay pot", sku="POT", on_hand=40, safety_threshold=4)
    make_order(pot, quantity=3)
    pay(make_order(pot, quantity=2).pk)
    item = make_loaded_item(product=pot, units=12, price=Decimal("5.00"))
    claim(item, 2)
    pay(claim(item, 5))
    with pytest.raises(counters.ClaimRefused):
        claim(item, 9)
    sync.drain(item.pk)
    client.force_login(make_staff("viewer"))
    item.refresh_from_db()
    return item


def claim(item, quantity):
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=f"g:{order_id}", quantity=quantity)
    sync.drain(item.pk)
    if quantity == 5:
        checkout.set_contact(order_id, orders.Contact(email="ann@shop.test"))
    return order_id


def pay(order_id):
    checkout.finish(checkout.begin_payment(order_id).pk, "paid")


def page(client, name, *args):
    response = client.get(reverse(name, args=args))
    assert response.status_code == 200
    return response.content.decode()


def words(html):
    """What a reader sees of it, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def data_figures(html):
    found = re.findall(r'data-figure="([\w-]+)"[^>]*>\s*([\d.]+)', html)
    return {name: float(number) for name, number in found}


def test_the_database_is_what_this_page_says(shop):
    row = Stock.objects.get(pk=shop.product_id)
    item = FlashSaleItem.objects.get(pk=shop.pk)

    assert {name: getattr(row, name) for name in STOCK} == STOCK
    assert {name: getattr(item, name) for name in FLASH} == FLASH
    assert audit.look().verdict == "holds"


def test_redis_says_the_same(shop):
    found = counters.snapshot(shop.pk)

    assert {name: getattr(found, name) for name in FLASH} == FLASH


def test_the_first_page_says_the_same(shop, client):
    text = words(page(client, "admin:index"))

    assert "5 left · 2 held · 5 paid of 12 · 42 % sold" in text
    assert "In stock 1 product" in text
    assert "Events not in the books yet 0" in text


def test_what_is_left_is_the_same_word_where_some_of_it_is_kept(sale_redis, client):
    pot = make_product("Clay pot", sku="POT", on_hand=12, safety_threshold=4)
    item = make_loaded_item(product=pot, units=12)
    client.force_login(make_staff("viewer"))

    found = data_figures(page(client, "admin:sales_flashsale_live", item.sale_id))
    html = page(client, "admin:index")

    assert (found["left"], found["floor"]) == (12, 4)
    assert "12 left · 0 held · 0 paid of 12 · floor 4 · 0 % sold" in words(html)
    assert "12 left of 12 units" in html


def test_the_stock_desk_says_the_same(shop, client):
    html = page(client, "admin:catalog_stock_changelist")

    for name, number in STOCK.items():
        (cell,) = re.findall(rf'<td class="field-{name}".*?</td>', html, re.DOTALL)
        assert re.search(rf"\b{number}\b", words(cell)), (name, cell)


def test_why_this_number_says_the_same(shop, client):
    html = page(client, "admin:catalog_stock_change", shop.product_id)

    for name, number in STOCK.items():
        (part,) = re.findall(rf'<div id="{name}">(.*?)</dt>', html, re.DOTALL)
        assert words(part).endswith(str(number)), name
    formula = words(re.search(r"<section.*?</section>", html, re.DOTALL)[0])
    assert re.findall(r"\d+", formula) == [str(number) for number in STOCK.values()]


def test_who_it_is_promised_to_says_the_same(shop, client):
    html = page(client, "admin:sales_stock_promises", shop.product_id)

    assert len(re.findall(r"/admin/sales/order/[0-9a-f-]{36}/", html)) == 2
    text = words(html)
    assert "5" in text
    assert "12" in text


def test_the_live_page_of_the_sale_says_the_same(shop, client):
    found = data_figures(page(client, "admin:sales_flashsale_live", shop.sale_id))

    assert {name: found[name] for name in FLASH} == FLASH
    assert (found["unsynced"], found["claims"]) == (0, 3)


def test_the_report_says_the_same(shop, client):
    url = reverse("admin:sales_flashsale_report", args=[shop.sale_id])
    text = words(client.get(url).content.decode())
    file = client.get(url, {"format": "csv"}).content.decode()
    (row,) = csv.DictReader(StringIO(file))

    assert "12 = 5 left + 2 held + 0 paying + 5 paid" in text
    assert "7 units taken; the counters say 7" in text
    assert "$25.00" in text
    assert (row["units"], row["paid"], row["claims"]) == ("12", "5", "2")
    assert (row["refused_claims"], row["unmet_units"], row["oversold"]) == (
        "1",
        "9",
        "0",
    )
    assert Decimal(row["revenue"]) == REVENUE


def test_the_ledger_adds_up_to_the_same(shop, client):
    response = client.get(reverse("admin:catalog_stockmovement_export"))
    text = b"".join(response.streaming_content).decode()
    rows = list(csv.DictReader(StringIO(text)))

    for name in ("on_hand", "reserved", "allocated"):
        assert sum(int(row[f"{name}_delta"]) for row in rows) == STOCK[name]
        assert int(rows[0][f"{name}_after"]) == STOCK[name]


def test_the_api_says_the_same(shop, client):
    token = tokens.issue(make_staff("viewer")).text
    headers = {"Authorization": f"Bearer {token}"}
    stock = client.get("/api/v1/products/POT/stock", headers=headers).json()
    sale = client.get(f"/api/v1/flash-sales/{shop.sale_id}", headers=headers).json()
    (item,) = sale["items"]

    assert {name: stock[name] for name in STOCK} == STOCK
    assert stock["status"] == "in_stock"
    assert {name: item[name] for name in FLASH} == FLASH


def test_the_shopper_sees_what_is_left(shop, client):
    client.logout()
    sale = words(page(client, "sales:flash-sale", shop.sale.slug))
    product = words(client.get(shop.product.get_absolute_url()).content.decode())
    api = client.get("/api/v1/products/POT").json()

    assert re.search(r"\b5\b[^.]{0,20}\bleft|Only 5|5 of 12", sale), sale
    assert "In stock" in product
    assert api["status"] == "in_stock"
