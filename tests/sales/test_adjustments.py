"""Changes of a running flash sale take effect for the next claim, and once."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.utils import timezone

from catalog import stock
from catalog.models import Stock
from sales import adjustments, counters, flash, sync
from sales.models import FlashAdjustment, FlashSale, FlashSaleItem, Order
from sales.orders import NotPossible
from tests.factories import make_item, make_loaded_item, make_product, make_sale

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def claim(item, quantity=1, *, buyer="g:alice"):
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=quantity)
    return order_id


def stock_of(item):
    row = Stock.objects.get(pk=item.product_id)
    return row.on_hand, row.reserved, row.allocated


def test_added_units_can_be_claimed_at_once(sale_redis):
    item = make_loaded_item(units=4)
    claim(item, 4)

    adjustments.change_units(item.pk, 3)
    claim(item, 3, buyer="g:bob")

    sync.drain(item.pk)
    assert stock_of(item) == (10, 7, 0)
    assert FlashSaleItem.objects.get(pk=item.pk).units == 7


def test_added_units_keep_the_safety_stock(sale_redis):
    item = make_loaded_item(
        product=make_product(on_hand=10, safety_threshold=4), units=5
    )
    assert counters.snapshot(item.pk).floor == 0

    adjustments.change_units(item.pk, 5)

    assert counters.snapshot(item.pk).sellable == 6


def test_unclaimed_units_taken_back_reach_the_shop_with_the_drain(sale_redis):
    item = make_loaded_item(units=8)
    claim(item, 2)

    adjustments.change_units(item.pk, -5)

    assert counters.snapshot(item.pk).left == 1
    assert stock_of(item) == (10, 0, 8)
    sync.drain(item.pk)
    assert stock_of(item) == (10, 2, 1)


def test_claimed_units_cannot_be_taken_back(sale_redis):
    item = make_loaded_item(units=8)
    claim(item, 6)

    with pytest.raises(NotPossible, match="Only 2 units are unclaimed"):
        adjustments.change_units(item.pk, -3)

    assert counters.snapshot(item.pk).left == 2
    adjustments.send_waiting()
    assert counters.snapshot(item.pk).left == 2


def test_more_units_than_available_cannot_be_added(sale_redis):
    item = make_loaded_item(units=8)
    with pytest.raises(stock.InsufficientStock):
        adjustments.change_units(item.pk, 3)
    assert not FlashAdjustment.objects.exists()


def test_a_change_that_redis_missed_is_sent_again_and_made_once(
    sale_redis, monkeypatch
):
    item = make_loaded_item(units=2)
    with monkeypatch.context() as broken:
        broken.setattr(adjustments, "_send", lambda adjustment: None)
        adjustments.change_units(item.pk, 3)
    assert counters.snapshot(item.pk).left == 2

    adjustments.send_waiting()
    adjustments.send_waiting()
    sync.drain(item.pk)
    adjustments.send_waiting()

    assert counters.snapshot(item.pk).left == 5
    assert stock_of(item) == (10, 0, 5)


def test_a_new_price_counts_for_claims_after_it_and_no_others(sale_redis):
    item = make_loaded_item(units=4, price=Decimal("5.00"))
    before = claim(item)
    adjustments.change_price(item.pk, Decimal("4.00"))
    after = claim(item)

    sync.drain(item.pk)

    assert Order.objects.get(pk=before).total == Decimal("5.00")
    assert Order.objects.get(pk=after).total == Decimal("4.00")


def test_a_higher_limit_lets_the_buyer_have_more(sale_redis):
    item = make_loaded_item(limit=1)
    claim(item)
    with pytest.raises(counters.ClaimRefused, match="limit_reached"):
        claim(item)

    adjustments.change_limit(item.pk, 2)

    claim(item)


def test_a_sale_can_close_earlier_and_later(sale_redis):
    item = make_loaded_item()
    adjustments.change_closing(item.sale_id, timezone.now() - timedelta(seconds=1))
    with pytest.raises(counters.ClaimRefused, match="ended"):
        claim(item)

    adjustments.change_closing(item.sale_id, timezone.now() + timedelta(hours=1))
    claim(item)


def test_a_sale_cannot_run_into_the_next_one_of_its_product(sale_redis):
    item = make_loaded_item()
    later = make_sale(opens_in=7200, closes_in=9000, state=FlashSale.State.SCHEDULED)
    make_item(product=item.product, sale=later)

    with pytest.raises(NotPossible, match="Another sale"):
        adjustments.change_closing(item.sale_id, timezone.now() + timedelta(hours=2.2))

    item.refresh_from_db()
    assert item.closes_at == item.sale.closes_at


def test_what_redis_missed_of_limit_and_closing_is_said_again_by_the_tick(sale_redis):
    item = make_loaded_item(limit=1)
    FlashSaleItem.objects.filter(pk=item.pk).update(limit_per_buyer=3)
    flash.advance()
    assert counters.snapshot(item.pk).limit == 3


@pytest.mark.parametrize("price", ["-1", "10000000"])
def test_an_impossible_price_is_refused(sale_redis, price):
    item = make_loaded_item()
    with pytest.raises(NotPossible):
        adjustments.change_price(item.pk, Decimal(price))
