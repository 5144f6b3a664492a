from datetime import timedelta
from uuid import uuid4

import pytest

from sales import checkout, counters, flash, report, sync, waiting_list
from sales.models import FlashEvent
from tests.factories import make_loaded_item, make_product, make_sale

pytestmark = [pytest.mark.django_db, pytest.mark.redis]


def claim(item, buyer="g:1", quantity=1):
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=quantity)
    sync.drain(item.pk)
    return order_id


def pay(item, order_id):
    payment = checkout.begin_payment(order_id)
    checkout.finish(payment.pk, "paid")
    sync.drain(item.pk)


def of(item):
    (found,) = report.of_sale(item.sale).items
    return found


def test_report_counts_what_happened(sale_redis):
    product = make_product(on_hand=10, safety_threshold=4)
    item = make_loaded_item(product=product, units=10)
    pay(item, claim(item, "g:1", 2))
    given_back = claim(item, "g:2", 2)
    claim(item, "g:2", 1)
    checkout.cancel(given_back)
    sync.drain(item.pk)

    found = of(item)

    assert (found.claims, found.buyers) == (3, 2)
    assert (found.offered, found.claimed, found.paid) == (6, 3, 2)
    assert found.sell_through == 33
    assert found.revenue == 2 * item.price
    assert found.sold_out_at is None
    assert found.oversold == 0


def test_report_says_what_came_of_the_waiting_list(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=1), units=1)
    held = claim(item)
    for name in ("a", "b"):
        waiting_list.join(
            item.pk, buyer=f"g:{name}", quantity=1, email=f"{name}@shop.test"
        )
    checkout.cancel(held)
    sync.drain(item.pk)
    waiting_list.serve(item.opens_at)

    line = report.of_sale(item.sale).line

    assert line == {"joined": 2, "offers": 1, "bought": 0}


def test_report_says_when_it_sold_out(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=3), units=3)
    claim(item, quantity=2)
    last = claim(item, quantity=1)

    found = of(item)

    assert found.sold_out_at == FlashEvent.objects.get(order_id=last).at
    assert found.time_to_sell_out > timedelta(0)
    found.sold_out_at = item.opens_at + timedelta(seconds=12.34)
    assert found.sold_out_after == "12.3 seconds"
    found.sold_out_at = item.opens_at + timedelta(seconds=3661)
    assert found.sold_out_after == "1:01:01"


def test_units_added_later_count_from_then_on(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=9), units=2)
    sync.drain(item.pk)
    counters.adjust(item.pk, epoch=item.epoch, units=3, ref=str(uuid4()))
    sync.drain(item.pk)
    claim(item, quantity=2)

    assert of(item).sold_out_at is None


def test_curve_ends_with_what_is_taken(sale_redis):
    sale = make_sale(state="scheduled", opens_in=-600, closes_in=600)
    item = make_loaded_item(product=make_product(on_hand=9), sale=sale, units=9)
    claim(item, quantity=4)

    found = of(item)

    assert len(found.curve) == report.STEPS
    assert (found.curve[0], found.curve[20], found.curve[-1]) == (0, 0, 4)
    assert found.shares[-1] == 44


def test_curve_of_a_rush_is_as_long_as_the_rush(sale_redis):
    sale = make_sale(state="scheduled", opens_in=-60, closes_in=86_400)
    item = make_loaded_item(product=make_product(on_hand=9), sale=sale, units=9)
    claim(item)
    claim(item)

    last = FlashEvent.objects.filter(item=item, kind="claim").latest("seq").at
    assert report.of_sale(sale).moments[-1] == last


def test_refund_takes_units_out_of_the_report(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=9), units=9)
    order_id = claim(item, quantity=2)
    pay(item, order_id)
    checkout.refund(order_id, restock=True)
    sync.drain(item.pk)

    found = of(item)

    assert (found.paid, found.claimed, found.refunded) == (0, 0, 2)


def test_lines_have_a_header_and_a_row_per_product(sale_redis):
    item = make_loaded_item(product=make_product(sku="POT"), units=5)

    header, row = report.lines(report.of_sale(item.sale))

    assert dict(zip(header, row, strict=True))["sku"] == "POT"


def test_no_sku_is_a_formula_in_a_line(sale_redis):
    item = make_loaded_item(product=make_product(sku="=1+1"), units=5)

    header, row = report.lines(report.of_sale(item.sale))

    assert dict(zip(header, row, strict=True))["sku"] == "'=1+1"


def test_report_says_what_was_refused(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=3), units=3, limit=2)
    claim(item, quantity=2)
    for quantity, buyer in ((2, "g:2"), (3, "g:3"), (1, "g:1")):
        with pytest.raises(counters.ClaimRefused):
            claim(item, buyer, quantity)
    claim(item, "g:4")
    item.refresh_from_db()

    found = of(item)

    assert (found.refused_claims, found.unmet_units, found.limit_hits) == (3, 5, 1)
    assert found.claimed == found.promised == 3
