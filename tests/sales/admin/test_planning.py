from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from sales.models import FlashSale, SaleState
from tests.factories import make_item, make_loaded_item, make_product, make_sale
from tests.sales.admin.pages import SALES, sale_data, sale_page

pytestmark = pytest.mark.django_db


def test_new_sale_gives_its_window_to_its_items(admin_client):
    pot, jug = make_product("Clay pot"), make_product("Jug")

    response = admin_client.post(
        f"{SALES}add/",
        sale_data({"product": pot.pk, "requested_units": 4}, {"product": jug.pk}),
    )

    assert response.status_code == 302
    sale = FlashSale.objects.get()
    assert sale.state == SaleState.DRAFT
    assert [item.requested_units for item in sale.items.all()] == [4, None]
    assert {(item.opens_at, item.closes_at) for item in sale.items.all()} == {
        (sale.opens_at, sale.closes_at)
    }


def test_moving_a_sale_moves_the_window_of_items_nobody_touched(admin_client):
    item = make_item(sale=make_sale())
    opens_at = timezone.now().replace(microsecond=0) + timedelta(days=3)
    form = {"id": item.pk, "sale": item.sale_id, "product": item.product_id}

    admin_client.post(
        sale_page(item.sale),
        sale_data({**form, "limit_per_buyer": 10}, opens_at=opens_at, initial=1),
    )

    item.refresh_from_db()
    assert item.opens_at == opens_at
    assert item.closes_at == opens_at + timedelta(hours=2)


def test_product_cannot_be_in_two_sales_at_a_time(admin_client):
    other = make_item(sale=make_sale("Harbor Lights", state=SaleState.SCHEDULED))

    response = admin_client.post(
        f"{SALES}add/",
        sale_data({"product": other.product_id}, opens_at=other.opens_at),
    )

    assert "This product is in the sale “Harbor Lights”" in response.content.decode()
    assert FlashSale.objects.count() == 1


def test_product_may_be_in_a_sale_that_begins_when_the_other_ends(admin_client):
    other = make_item()

    response = admin_client.post(
        f"{SALES}add/",
        sale_data(
            {"product": other.product_id},
            opens_at=other.closes_at.replace(microsecond=0) + timedelta(seconds=1),
        ),
    )

    assert response.status_code == 302


def test_sale_must_close_after_it_opens(admin_client):
    response = admin_client.post(f"{SALES}add/", sale_data(hours=-1))

    assert "must close after it opens" in response.content.decode()


@pytest.mark.redis
def test_loaded_sale_is_not_edited_by_its_form(admin_client, sale_redis):
    item = make_loaded_item(units=5)

    response = admin_client.post(sale_page(item.sale), sale_data())

    assert response.status_code == 403
    assert 'name="_save"' not in admin_client.get(sale_page(item.sale)).content.decode()


@pytest.mark.redis
def test_sale_that_is_being_loaded_is_not_overwritten(admin_client, sale_redis):
    item = make_loaded_item(units=5)
    FlashSale.objects.filter(pk=item.sale_id).update(state=SaleState.SCHEDULED)
    form = {"id": item.pk, "sale": item.sale_id, "product": item.product_id}

    response = admin_client.post(
        sale_page(item.sale), sale_data({**form, "price": "1.00"}, initial=1)
    )

    assert "being loaded right now" in response.content.decode()
    item.refresh_from_db()
    assert (item.units, item.price) == (5, Decimal("5.00"))


def test_only_drafts_are_deleted(admin_client):
    draft, planned = make_sale(), make_sale(state=SaleState.SCHEDULED)

    for sale in (draft, planned):
        admin_client.post(sale_page(sale, "delete"), {"post": "yes"})

    assert list(FlashSale.objects.all()) == [planned]
