"""The waiting list: who may join, where, and how one leaves."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from sales import checkout, counters, flash, sync, waiting_list
from sales.counters import NotLoaded
from sales.models import FlashSale, OrderMail, WaitingEntry
from sales.orders import NotPossible
from tests.factories import make_item, make_loaded_item
from tests.sales.waiting_list.line import (
    join,
    kept,
    make_full_item,
    refusal,
    states,
    tick,
)
from tests.threads import run_at_once

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestJoining:
    def test_the_order_of_joining_is_the_line_and_is_kept_in_redis(self, sale_redis):
        item, _ = make_full_item()

        first, second = join(item), join(item, quantity=2)

        assert [waiting_list.place_of(e) for e in (first, second)] == [1, 2]
        assert kept(item) == 3

    def test_joining_twice_is_joining_once(self, sale_redis):
        item, _ = make_full_item()
        first = join(item, buyer="g:ann")
        join(item)

        again = waiting_list.join(
            item.pk, buyer="g:ann", quantity=2, email="other@shop.test"
        )

        assert (again.entry, again.is_new) == (first, False)
        assert WaitingEntry.objects.count() == 2

    def test_two_clicks_at_once_make_one_entry(self, sale_redis):
        item, _ = make_full_item()

        entries = run_at_once(
            lambda n: join(item, buyer="g:ann", email="ann@shop.test"), range(8)
        )

        assert len({entry.pk for entry in entries}) == 1
        assert kept(item) == 1

    def test_many_at_once_all_get_a_place_of_their_own(self, sale_redis):
        item, _ = make_full_item()

        entries = run_at_once(lambda n: join(item), range(12))

        places = sorted(waiting_list.place_of(entry) for entry in entries)
        assert places == list(range(1, 13))
        assert kept(item) == 12

    def test_one_address_waits_once_for_an_item(self, sale_redis):
        item, _ = make_full_item()
        join(item, email="Ann@Shop.test")

        assert refusal(lambda: join(item, email="ann@shop.test"))[0] == "email_waits"
        other, _ = make_full_item()
        assert join(other, email="ann@shop.test").is_waiting

    def test_nobody_waits_for_what_can_be_had(self, sale_redis):
        item = make_loaded_item(units=3)

        assert refusal(lambda: join(item)) == ("available", 3)

    def test_sold_out_can_be_waited_for(self, sale_redis):
        item, _ = make_full_item(paid=True)

        assert join(item).is_waiting

    def test_nobody_waits_for_a_sale_that_is_over_or_has_not_begun(self, sale_redis):
        item, _ = make_full_item()
        flash.end(item.sale_id)
        later = make_item()

        assert refusal(lambda: join(item))[0] == "ended"
        FlashSale.objects.filter(pk=later.sale_id).update(state="scheduled")
        type(later).objects.filter(pk=later.pk).update(
            opens_at=timezone.now() + timedelta(hours=1),
            closes_at=timezone.now() + timedelta(hours=2),
        )
        assert refusal(lambda: join(later))[0] == "not_started"

    def test_a_paused_sale_takes_nobody_in(self, sale_redis):
        item, _ = make_full_item()
        flash.pause(item.sale_id)

        assert refusal(lambda: join(item))[0] == "paused"

    def test_what_a_buyer_owns_counts_for_the_limit(self, sale_redis):
        item = make_loaded_item(units=2, limit=3)
        flash.claim(item.pk, order_id=uuid4(), buyer="g:ann", quantity=2)
        sync.drain(item.pk)

        code = refusal(lambda: join(item, buyer="g:ann", quantity=2))
        assert code == ("limit_reached", 1)
        assert join(item, buyer="g:ann", quantity=1).is_waiting

    def test_a_lost_redis_takes_nobody_in(self, sale_redis):
        item, _ = make_full_item()
        sale_redis.delete(counters.keys(item.pk)[0])

        with pytest.raises(NotLoaded):
            join(item)

        assert not WaitingEntry.objects.exists()


class TestLeaving:
    def test_the_line_moves_up_and_the_counters_know_at_once(self, sale_redis):
        item, _ = make_full_item()
        first, second = join(item, quantity=2), join(item)

        waiting_list.leave(first.order_id)
        waiting_list.leave(first.order_id)

        assert states(first) == ["left"]
        assert first.email == ""
        assert waiting_list.place_of(second) == 1
        assert waiting_list.place_of(first) == 0
        assert kept(item) == 1

    def test_who_has_left_may_join_again_at_the_end(self, sale_redis):
        item, _ = make_full_item()
        first = join(item, buyer="g:ann", email="ann@shop.test")
        join(item)
        waiting_list.leave(first.order_id)

        again = join(item, buyer="g:ann", email="ann@shop.test")

        assert waiting_list.place_of(again) == 2

    def test_an_offer_is_cancelled_as_an_order_not_left(self, sale_redis):
        item, (held,) = make_full_item()
        entry = join(item)
        checkout.cancel(held)
        tick()

        with pytest.raises(NotPossible):
            waiting_list.leave(entry.order_id)

    def test_leaving_after_the_claim_gives_it_back(self, sale_redis):
        """As when a worker died between the claim and the offer."""
        item, (held,) = make_full_item()
        entry, second = join(item), join(item)
        checkout.cancel(held)
        wanted = counters.Claim(entry.order_id, entry.buyer, 1)
        counters.claim_many(item.pk, epoch=item.epoch, claims=[wanted], offer_ms=9000)

        waiting_list.leave(entry.order_id)
        tick()

        assert states(entry, second) == ["left", "offered"]

    def test_a_claim_for_somebody_who_just_left_is_given_back(
        self, sale_redis, monkeypatch
    ):
        item, (held,) = make_full_item()
        entry = join(item)
        checkout.cancel(held)
        drain = sync.drain

        def leaves_meanwhile(*args, **options):
            monkeypatch.setattr(sync, "drain", drain)
            WaitingEntry.objects.filter(pk=entry.pk).update(state="left")
            return drain(*args, **options)

        monkeypatch.setattr(sync, "drain", leaves_meanwhile)
        waiting_list.hand_out(item.pk)

        assert counters.find(item.pk, entry.order_id).state == "cancelled"
        assert not OrderMail.objects.filter(kind="offer").exists()

    def test_so_is_one_that_another_worker_has_yet_to_drain(
        self, sale_redis, monkeypatch
    ):
        item, (held,) = make_full_item()
        entry, second = join(item), join(item)
        checkout.cancel(held)

        def is_busy(*args, **options):
            WaitingEntry.objects.filter(pk=entry.pk).update(state="left")
            return 0

        monkeypatch.setattr(sync, "drain", is_busy)
        waiting_list.hand_out(item.pk)
        monkeypatch.undo()
        tick()

        assert counters.find(item.pk, entry.order_id).state == "cancelled"
        assert states(entry, second) == ["left", "offered"]
