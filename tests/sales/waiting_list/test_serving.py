"""The waiting list ends by itself and is kept over crashes."""

from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from sales import checkout, counters, flash, jobs, mails, recovery, sync, waiting_list
from sales.counters import ClaimRefused
from sales.models import WaitingEntry
from tests.factories import make_loaded_item
from tests.sales.waiting_list.line import join, kept, make_full_item, states, tick
from tests.threads import run_at_once

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestTheEnd:
    def test_the_end_of_the_sale_ends_the_line(self, sale_redis):
        item, (held,) = make_full_item()
        entry = join(item)
        flash.end(item.sale_id)
        checkout.cancel(held)

        assert tick() == 0

        assert states(entry) == ["closed"]
        assert (entry.reason, entry.next_try_at) == ("ended", entry.ended_at)
        assert kept(item) == 0

    def test_the_closing_time_ends_it_without_anybody(self, sale_redis):
        item, _ = make_full_item()
        entry = join(item)

        waiting_list.serve(item.closes_at)

        assert states(entry) == ["closed"]

    def test_an_offer_may_be_paid_after_the_end(self, sale_redis):
        item, (held,) = make_full_item()
        entry = join(item)
        checkout.cancel(held)
        tick()
        flash.end(item.sale_id)

        checkout.finish(checkout.begin_payment(entry.order_id).pk, "paid")
        tick()

        assert states(entry) == ["bought"]

    def test_a_settled_sale_leaves_nothing_behind(self, sale_redis):
        item, (held,) = make_full_item()
        join(item)
        flash.end(item.sale_id)
        checkout.cancel(held)
        tick()

        assert flash.settle(item.sale_id)
        assert tick() == 0


class TestAfterAFault:
    @pytest.mark.parametrize("lost", ["meta", "all"])
    def test_a_rebuilt_item_keeps_the_line(self, sale_redis, lost):
        item, (held,) = make_full_item()
        first = join(item)
        for key in counters.keys(item.pk):
            if lost == "all" or key.endswith(":meta"):
                sale_redis.delete(key)

        recovery.recover(item.pk)

        assert kept(item) == 1
        checkout.cancel(held)
        with pytest.raises(ClaimRefused):
            flash.claim(item.pk, order_id=uuid4(), buyer="g:x", quantity=1)
        tick()
        assert states(first) == ["offered"]

    def test_a_verified_item_is_told_what_the_line_wants(self, sale_redis):
        item, _ = make_full_item()
        join(item)
        counters.keep_for_line(item.pk, epoch=item.epoch, units=7)
        sale_redis.script_flush()

        recovery.open_fence()

        assert kept(item) == 1

    @pytest.mark.parametrize("wrong", [0, 9])
    def test_a_tick_puts_right_what_a_crash_left(self, sale_redis, wrong):
        item, _ = make_full_item()
        join(item)
        counters.keep_for_line(item.pk, epoch=item.epoch, units=wrong)

        tick()

        assert kept(item) == 1

    def test_a_line_that_is_gone_blocks_nobody(self, sale_redis):
        item = make_loaded_item(units=2)
        counters.keep_for_line(item.pk, epoch=item.epoch, units=2)

        tick()

        flash.claim(item.pk, order_id=uuid4(), buyer="g:x", quantity=2)

    def test_a_lost_item_does_not_hold_up_the_others(self, sale_redis):
        lost, _ = make_full_item()
        item, (held,) = make_full_item()
        join(lost)
        entry = join(item)
        checkout.cancel(held)
        sale_redis.delete(counters.keys(lost.pk)[0])

        waiting_list.serve(timezone.now())

        assert states(entry) == ["offered"]

    def test_one_bad_entry_does_not_stop_those_behind_it(self, sale_redis, monkeypatch):
        item, held = make_full_item(units=2)
        first, second = join(item), join(item)
        for order_id in held:
            checkout.cancel(order_id)
        line_up = mails.line_up

        def fails_for_the_first(kind, orders):
            if orders[0].pk == first.order_id:
                raise RuntimeError("as when a row is damaged")
            line_up(kind, orders)

        monkeypatch.setattr(mails, "line_up", fails_for_the_first)
        tick()

        assert states(first, second) == ["waiting", "offered"]

    def test_what_comes_back_later_passes_a_bad_entry(self, sale_redis, monkeypatch):
        item, held = make_full_item(units=2)
        first, second = join(item), join(item)
        line_up = mails.line_up

        def fails_for_the_first(kind, orders):
            if orders and orders[0].pk == first.order_id:
                raise RuntimeError("as when a row is damaged")
            line_up(kind, orders)

        monkeypatch.setattr(mails, "line_up", fails_for_the_first)
        for order_id in held:
            checkout.cancel(order_id)
            tick()

        assert states(first, second) == ["waiting", "offered"]

    def test_the_job_that_drains_serves_the_lines(self, sale_redis):
        item, (held,) = make_full_item()
        entry = join(item)
        checkout.cancel(held)

        jobs.drain_items(seconds=0.5)

        assert states(entry) == ["offered"]

    def test_without_a_line_a_tick_asks_little(
        self, sale_redis, django_assert_max_num_queries
    ):
        make_full_item()

        with django_assert_max_num_queries(3):
            waiting_list.serve(timezone.now())


def test_the_drain_does_not_skip_an_item_that_somebody_joins(sale_redis):
    item, (held,) = make_full_item()
    checkout.cancel(held)

    with transaction.atomic():  # as in the middle of a join
        WaitingEntry.objects.create(item=item, buyer="g:a", email="a@shop.test")
        (drained,) = run_at_once(lambda n: sync.drain(item.pk), [0])

    assert drained == 1
