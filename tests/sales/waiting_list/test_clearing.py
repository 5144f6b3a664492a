"""What is left of the lines of old sales: their numbers."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sales import checkout, jobs, report, waiting_list
from sales.models import FlashSale, FlashSaleItem, WaitingEntry
from sales.waiting_list.clearing import KEPT
from tests.sales.waiting_list.line import join, make_full_item, states, tick

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def make_old_line(*, state="settled", closed=KEPT + timedelta(days=1)):
    """An item of a sale that closed long ago; one bought, one left, one got nothing."""
    item, (held,) = make_full_item()
    bought, left, in_vain = join(item), join(item), join(item)
    waiting_list.leave(left.order_id)
    checkout.cancel(held)
    tick()
    checkout.finish(checkout.begin_payment(bought.order_id).pk, "paid")
    at = timezone.now() - closed
    opened = {"opens_at": at - timedelta(hours=1), "closes_at": at}
    FlashSaleItem.objects.filter(pk=item.pk).update(**opened)
    FlashSale.objects.filter(pk=item.sale_id).update(state=state, **opened)
    tick()
    assert states(bought, left, in_vain) == ["bought", "left", "closed"]
    WaitingEntry.objects.update(next_try_at=None)  # told
    return item


def told(item):
    return report.of_sale(FlashSale.objects.get(pk=item.sale_id)).line


@pytest.mark.parametrize("batch", [2, 1000])
def test_old_entries_go_and_the_report_tells_the_same(sale_redis, batch):
    item = make_old_line()
    before = told(item)
    assert before == {"joined": 3, "offers": 1, "bought": 1}

    assert waiting_list.forget_old(timezone.now(), batch=batch) == 3

    assert not WaitingEntry.objects.exists()
    assert told(item) == before
    assert waiting_list.forget_old(timezone.now(), batch=batch) == 0
    assert told(item) == before


@pytest.mark.parametrize(
    "fields", [{"closed": KEPT - timedelta(days=1)}, {"state": "ended"}]
)
def test_entries_of_young_and_unsettled_sales_stay(sale_redis, fields):
    make_old_line(**fields)
    assert waiting_list.forget_old(timezone.now()) == 0
    assert WaitingEntry.objects.count() == 3


def test_who_is_still_to_be_told_stays(sale_redis):
    make_old_line()
    in_vain = WaitingEntry.objects.filter(state="closed")
    in_vain.update(next_try_at=timezone.now())
    assert jobs.forget_old() == 2
    assert WaitingEntry.objects.get() == in_vain.get()
