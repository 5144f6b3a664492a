import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from catalog import alerts
from sales import desk, flash
from sales.models import Order, SaleState
from tests.factories import make_loaded_item, make_order, make_product, make_sale

pytestmark = pytest.mark.django_db


# -- First page -------------------------------------------------------------------


@pytest.mark.redis
def test_first_page_counts_link_to_the_desk_and_agree_with_it(admin_client, sale_redis):
    make_product(on_hand=0)
    make_product(on_hand=1, low_stock_level=3)
    make_product(on_hand=9)
    make_product(on_hand=9)

    statuses = admin_client.get("/admin/").context["statuses"]

    counts = {status["label"]: status["count"] for status in statuses}
    assert counts == {"In stock": 2, "Low stock": 1, "Out of stock": 1}
    for status in statuses:
        listed = admin_client.get(status["url"]).context["cl"].result_count
        assert listed == status["count"]


@pytest.mark.redis
def test_first_page_shows_live_sales_lag_and_queues(admin_client, sale_redis):
    item = make_loaded_item(units=5, product=make_product("Basecamp tent"))
    flash.claim(item.pk, order_id=uuid4(), buyer="g:1", quantity=2)

    html = admin_client.get(reverse("admin:sales_overview")).content.decode()

    assert "Basecamp tent" in html
    assert "2 held" in html
    assert "no worker" in html


@pytest.mark.redis
def test_first_page_chart_counts_orders_by_channel(admin_client):
    make_order()
    make_order()

    for span in ("hour", "day"):
        context = admin_client.get(f"/admin/?span={span}").context
        flash_orders, shop_orders = json.loads(context["chart"])["datasets"]
        assert sum(shop_orders["data"]) == 2
        assert sum(flash_orders["data"]) == 0


@pytest.mark.redis
def test_first_page_shows_alerts_until_they_are_seen(admin_client, sale_redis):
    alert = alerts.raise_alert("out", "Clay pot is out of stock.")

    assert alert.text in admin_client.get("/admin/").content.decode()
    admin_client.post(
        "/admin/catalog/alert/?seen=no",
        {"action": "mark_seen", "_selected_action": [alert.pk], "index": "0"},
    )
    assert alert.text not in admin_client.get("/admin/").content.decode()


def test_order_counts_have_no_gaps_and_end_now():
    now = timezone.now().replace(minute=30)
    order = make_order()
    Order.objects.filter(pk=order.pk).update(created_at=now - timedelta(hours=3))

    counts = desk.order_counts("day", now=now)

    assert len(counts) == 24
    assert [row.regular for row in counts[-4:]] == [1, 0, 0, 0]


# -- Why this number? -------------------------------------------------------------


@pytest.mark.redis
def test_promises_name_the_orders_and_sales_behind_the_numbers(
    admin_client, sale_redis
):
    pot = make_product(on_hand=20)
    order = make_order(pot, quantity=3)
    sale = make_sale("Harbor Lights", state=SaleState.SCHEDULED)
    make_loaded_item(product=pot, sale=sale, units=5)

    html = admin_client.get(
        reverse("admin:sales_stock_promises", args=[pot.pk])
    ).content.decode()

    assert order.number in html
    assert "3 units," in html
    assert "Harbor Lights" in html
    assert "5 of 5 unclaimed" in html
