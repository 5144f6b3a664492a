"""The page of a place in line says where one stands, before there is an offer."""

import pytest

from sales import checkout, flash, waiting_list
from sales.models import FlashSaleItem
from tests.sales.waiting_list.line import join, make_full_item, tick

pytestmark = [pytest.mark.redis, pytest.mark.django_db]
POLL = {"HX-Request": "true", "HX-Target": "order-state"}


def shown(client, entry):
    return client.get(entry.get_absolute_url()).text


def test_in_line_it_says_the_place_what_comes_next_and_where_we_write(
    client, sale_redis
):
    item, _ = make_full_item()
    join(item)
    page = shown(client, join(item, email="ann@shop.test"))

    assert "You are number 2 in the line" in page
    assert "1 person is before you." in page
    assert "we hold it for you and write to you" in page
    assert "We write to ann@shop.test" in page


def test_while_the_sale_is_paused_it_says_the_place_is_kept(client, sale_redis):
    item, _ = make_full_item()
    entry = join(item)

    flash.pause(item.sale_id)

    page = shown(client, entry)
    assert "You are number 1 in the line" in page
    assert "You keep your place" in page


def test_after_the_end_no_number_raises_hopes(client, sale_redis):
    """The tick that closes the line is still to come."""
    item, _ = make_full_item()
    ended, timed_out = join(item), join(make_full_item()[0])
    flash.end(item.sale_id)
    late = FlashSaleItem.objects.filter(pk=timed_out.item_id)
    late.update(closes_at=timed_out.created_at)

    for entry in (ended, timed_out):
        page = shown(client, entry)
        assert "The sale is over" in page
        assert "You are number" not in page
        poll = client.get(entry.get_absolute_url(), headers=POLL).text
        assert 'hx-trigger="every' in poll


def test_a_line_that_has_ended_says_so_and_leads_on(client, sale_redis):
    item, (held,) = make_full_item()
    entry = join(item)
    flash.end(item.sale_id)
    checkout.cancel(held)
    tick()

    page = shown(client, entry)

    assert "The line has ended" in page
    assert "Nothing was charged" in page
    assert "See the other sales" in page
    assert "Leave the waiting list" not in page


def test_who_left_is_told_that_the_place_is_gone(client, sale_redis):
    item, _ = make_full_item()
    entry = join(item)

    waiting_list.leave(entry.order_id)

    page = shown(client, entry)
    assert "You have left the line" in page
    assert "Back to the sale" in page
