"""The live part of an item: what it says, when it is swapped, what it costs."""

from uuid import uuid4

import pytest

from sales import flash, jobs, sync, tags
from sales.models import FlashSaleItem, Order
from tests.factories import make_item, make_loaded_item, make_sale
from tests.sales.flash_pages.calls import live_url

pytestmark = pytest.mark.django_db


# -- The live fragment -------------------------------------------------------------


def test_live_fragment_needs_no_query(client, sale_redis, django_assert_num_queries):
    item = make_loaded_item(units=4)
    url = live_url(item)

    with django_assert_num_queries(0):
        response = client.get(url)

    assert response.status_code == 200
    assert response.text.lstrip().startswith(f'<div id="flash-live-{item.pk}"')


def test_live_fragment_becomes_the_whole_box_when_the_state_changes(client, sale_redis):
    item = make_loaded_item(units=1)
    order_id = uuid4()
    flash.claim(item.pk, order_id=uuid4(), buyer="b", quantity=1)

    response = client.get(live_url(item, order_id=order_id))

    assert response["HX-Retarget"] == f"#flash-box-{item.pk}"
    assert "Every unit is held" in response.text
    assert f'value="{order_id}"' in response.text


def test_live_fragment_stops_the_polling_when_the_sale_is_over(client, sale_redis):
    item = make_loaded_item()
    flash.end(item.sale_id)

    response = client.get(live_url(item))

    assert response.status_code == 286
    assert "hx-trigger" not in response.text


def test_live_fragment_of_a_sale_that_is_not_loaded_waits(client, sale_redis):
    item = make_item(sale=make_sale(opens_in=50, state="scheduled"))

    response = client.get(live_url(item, "not_started"))

    assert response.status_code == 200
    assert "Opens in" in response.text


def test_live_fragment_with_a_damaged_address_is_refused(client):
    item = make_item()

    assert client.get(f"/flash/x/{item.pk}/live/?opens=a").status_code == 422


# -- Prices and ending holds -------------------------------------------------------


def test_a_new_price_is_shown_without_a_query(
    client, sale_redis, django_assert_num_queries
):
    item = make_loaded_item(price="5.00")
    url = live_url(item, price="5.00", was="9.99")
    FlashSaleItem.objects.update(price="4.50")
    jobs.drain_items(seconds=0.5)

    with django_assert_num_queries(0):
        response = client.get(url)

    assert response["HX-Retarget"] == f"#flash-box-{item.pk}"
    assert "$4.50" in response.text
    assert 'name="price" value="4.50"' in " ".join(response.text.split())


def test_an_old_price_stays_while_nothing_else_is_known(client, sale_redis):
    item = make_loaded_item()

    response = client.get(live_url(item, state="paused", price="5.00", was="9.99"))

    assert "$5.00" in response.text
    assert '<del class="was">$9.99</del>' in response.text


def test_the_same_price_swaps_the_live_part_alone(client, sale_redis):
    item = make_loaded_item(price="5.00")
    tags.write()

    response = client.get(live_url(item, price="5.00", was="9.99"))

    assert "HX-Retarget" not in response
    assert "&amp;price=5.00&amp;was=9.99" in response.text


def test_the_next_hold_to_end_is_shown_when_all_is_held(
    client, sale_redis, django_assert_num_queries
):
    item = make_loaded_item(units=2)
    for _ in range(2):
        flash.claim(item.pk, order_id=uuid4(), buyer="b", quantity=1)
    sync.drain(item.pk)
    first = Order.objects.order_by("expires_at")[0]
    tags.write()
    url = live_url(item, "all_held", price="5.00", was="9.99")

    with django_assert_num_queries(0):
        response = client.get(url)

    assert "Next hold ends in" in response.text
    assert f'data-until="{int(first.expires_at.timestamp() * 1000)}"' in response.text
    assert "Next hold ends in" in client.get(item.sale.get_absolute_url()).text


def test_nobody_is_told_of_holds_while_units_are_left(client, sale_redis):
    item = make_loaded_item(units=2)
    flash.claim(item.pk, order_id=uuid4(), buyer="b", quantity=1)
    sync.drain(item.pk)

    tags.write()

    assert tags.read([item.pk])[item.pk].next_hold_at is None


def test_a_cache_that_is_away_costs_only_the_tags(client, sale_redis, settings):
    item = make_loaded_item()
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }

    response = client.get(live_url(item, price="5.00", was="9.99"))

    assert response.status_code == 200
    assert "10 left" in response.text
