"""Home, the list of sales, a sale's page and the slot of a product page."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sales.models import FlashSale, Order
from tests.factories import make_item, make_loaded_item, make_product, make_sale
from tests.sales.flash_pages.calls import HTMX

pytestmark = pytest.mark.django_db


def test_home_shows_live_and_coming_sales_apart(client, sale_redis):
    make_loaded_item(sale=make_sale("On now sale", state="scheduled"))
    make_item(
        sale=make_sale("Later sale", opens_in=3600, closes_in=7200, state="scheduled")
    )
    make_sale("Draft sale")

    context = client.get("/").context

    assert [entry["sale"].name for entry in context["live_sales"]] == ["On now sale"]
    assert [entry["sale"].name for entry in context["coming_sales"]] == ["Later sale"]


def test_home_of_an_empty_shop_says_so(client):
    page = client.get("/").text

    assert "No flash sale is planned" in page
    assert "The shelves are still empty" in page


def test_a_draft_has_no_page(client):
    assert client.get(f"/flash/{make_sale().slug}/").status_code == 404


def test_sale_page_shows_both_prices_and_what_is_left(client, sale_redis):
    item = make_loaded_item(product=make_product(on_hand=5, safety_threshold=2))

    page = client.get(item.sale.get_absolute_url()).text

    assert "$5.00" in page
    assert '<del class="was">$9.99</del>' in page
    assert "Only 3 left" in page


def test_sale_page_works_while_redis_is_empty(client, sale_redis):
    item = make_loaded_item()
    sale_redis.flushall()

    page = client.get(item.sale.get_absolute_url())

    assert page.status_code == 200
    assert "is being checked" in page.text
    assert "Buy now" not in page.text


def test_product_slot_is_filled_only_for_a_product_in_a_sale(client, sale_redis):
    item = make_loaded_item()
    other = make_product()

    filled = client.get(f"/offers/{item.product_id}/", headers=HTMX)
    empty = client.get(f"/offers/{other.pk}/", headers=HTMX)

    assert "Buy now" in filled.text
    assert (empty.status_code, empty.text) == (200, "")


def test_product_slot_leads_on_without_scripts(client, sale_redis):
    item = make_loaded_item()
    other = make_product()

    there = client.get(f"/offers/{item.product_id}/")
    back = client.get(f"/offers/{other.pk}/")

    assert there["Location"] == item.sale.get_absolute_url()
    assert back["Location"] == other.get_absolute_url()


def test_past_sales_stay_listed(client):
    now = timezone.now()
    FlashSale.objects.create(
        name="Last week",
        slug="last-week",
        state="settled",
        opens_at=now - timedelta(days=7),
        closes_at=now - timedelta(days=6),
    )

    assert "Last week" in client.get("/flash/").text
    assert "This sale is over" in client.get("/flash/last-week/").text
    assert not Order.objects.exists()
