"""The waiting list: fair, without duplicates, kept over crashes, ended by itself."""

from datetime import timedelta
from itertools import count
from uuid import uuid4

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone, translation

from sales import (
    adjustments,
    checkout,
    counters,
    flash,
    jobs,
    mails,
    recovery,
    sync,
    waiting_list,
)
from sales.counters import ClaimRefused, NotLoaded
from sales.models import FlashSale, Order, OrderMail, WaitingEntry
from sales.orders import NotPossible
from sales.waiting_list import JoinRefused
from tests.factories import make_item, make_loaded_item, make_user
from tests.threads import run_at_once

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]

_number = count(1)


def make_full_item(*, units=1, paid=False, **fields):
    """An item whose units are all held, or paid, and the order id of each."""
    item = make_loaded_item(units=units, **fields)
    held = []
    for _ in range(units):
        order_id = uuid4()
        flash.claim(item.pk, order_id=order_id, buyer=f"g:{order_id}", quantity=1)
        held.append(order_id)
        if paid:
            checkout.finish(checkout.begin_payment(order_id).pk, "paid")
    sync.drain(item.pk)
    return item, held


def join(item, *, buyer="", quantity=1, email="", user=None):
    """The entry of somebody new in line."""
    name = f"w{next(_number)}"
    return waiting_list.join(
        item.pk,
        buyer=buyer or f"g:{name}",
        quantity=quantity,
        email=email or f"{name}@shop.test",
        user=user,
    ).entry


def tick():
    """What a tick does, half a second later."""
    for item_id in sync.behind():
        sync.drain(item_id)
    return waiting_list.serve(timezone.now())


def states(*entries):
    for entry in entries:
        entry.refresh_from_db()
    return [entry.state for entry in entries]


def kept(item):
    return counters.snapshot(item.pk).waiting


def refusal(call):
    with pytest.raises(JoinRefused) as refused:
        call()
    return refused.value.code, refused.value.detail


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


class TestOffers:
    def test_what_comes_back_is_held_for_the_first_in_line(self, sale_redis, settings):
        settings.SHOP_OFFER_SECONDS = 1800
        item, (held,) = make_full_item()
        first, second = join(item), join(item)

        assert tick() == 0
        checkout.cancel(held)
        assert tick() == 1

        order = Order.objects.get(pk=first.order_id)
        assert states(first, second) == ["offered", "waiting"]
        assert (order.state, order.email) == ("held", first.email)
        assert order.expires_at - timezone.now() > timedelta(seconds=1700)
        assert (counters.snapshot(item.pk).held, kept(item)) == (1, 1)
        assert tick() == 0

    def test_a_freed_unit_always_goes_to_the_first_in_line(self, sale_redis):
        """Twenty others grasp at it the whole time."""
        item, held = make_full_item(units=5)
        line = [join(item) for _ in range(5)]
        got, told = [], set()

        def snatch(number):
            if number == 0:
                for order_id in held:
                    checkout.cancel(order_id)
                    tick()
                return
            for _ in range(30):
                try:
                    flash.claim(
                        item.pk, order_id=uuid4(), buyer=f"g:s{number}", quantity=1
                    )
                except ClaimRefused as refused:
                    told.add(refused.code)
                else:
                    got.append(number)

        run_at_once(snatch, range(20))

        assert (got, told) == ([], {"all_held"})
        assert set(states(*line)) == {"offered"}
        seqs = [Order.objects.get(pk=e.order_id).claim_seq for e in line]
        assert seqs == sorted(seqs)

    def test_two_workers_at_once_make_one_offer_and_one_mail(self, sale_redis):
        item, held = make_full_item(units=3)
        line = [join(item) for _ in range(4)]
        for order_id in held:
            checkout.cancel(order_id)

        made = run_at_once(lambda n: waiting_list.hand_out(item.pk), range(4))
        tick()

        assert sum(made) <= 3
        assert states(*line) == ["offered"] * 3 + ["waiting"]
        assert counters.snapshot(item.pk).held == 3
        mailed = OrderMail.objects.filter(kind="offer").values_list("order", flat=True)
        assert sorted(mailed) == sorted(e.order_id for e in line[:3])

    def test_whoever_wants_more_than_came_back_is_offered_that(self, sale_redis):
        item, held = make_full_item(units=3)
        first, second = join(item, quantity=3), join(item)
        checkout.cancel(held[0])
        checkout.cancel(held[1])

        tick()

        assert states(first, second) == ["offered", "waiting"]
        assert Order.objects.get(pk=first.order_id).lines.get().quantity == 2
        assert kept(item) == 1

    def test_units_the_merchant_adds_go_to_the_line_first(self, sale_redis):
        item, _ = make_full_item(paid=True)
        first = join(item)

        adjustments.change_units(item.pk, 2)
        with pytest.raises(ClaimRefused):
            flash.claim(item.pk, order_id=uuid4(), buyer="g:x", quantity=2)
        flash.claim(item.pk, order_id=uuid4(), buyer="g:x", quantity=1)
        tick()

        assert states(first) == ["offered"]

    def test_a_paid_offer_is_bought_and_ends_the_entry(self, sale_redis):
        item, (held,) = make_full_item()
        entry = join(item)
        checkout.cancel(held)
        tick()

        checkout.finish(checkout.begin_payment(entry.order_id).pk, "paid")
        tick()

        assert states(entry) == ["bought"]
        assert entry.email == ""
        assert Order.objects.get(pk=entry.order_id).email != ""

    @pytest.mark.parametrize("how", ["expired", "cancelled"])
    def test_an_offer_that_lapses_goes_to_the_next(self, sale_redis, settings, how):
        settings.SHOP_OFFER_SECONDS = 0
        item, (held,) = make_full_item()
        first, second = join(item), join(item)
        checkout.cancel(held)
        tick()
        settings.SHOP_OFFER_SECONDS = 900

        if how == "cancelled":
            checkout.cancel(first.order_id)
        else:
            assert checkout.expire_due(timezone.now()) == 1
        tick()

        assert states(first, second) == ["lapsed", "offered"]
        with pytest.raises(ClaimRefused):
            flash.claim(item.pk, order_id=uuid4(), buyer="g:x", quantity=1)

    def test_who_let_an_offer_lapse_may_join_again(self, sale_redis):
        item, (held,) = make_full_item()
        first = join(item, buyer="g:ann", email="ann@shop.test")
        join(item)
        checkout.cancel(held)
        tick()
        checkout.cancel(first.order_id)
        tick()

        again = join(item, buyer="g:ann", email="ann@shop.test")

        assert again.is_waiting
        assert again.order_id != first.order_id

    def test_a_limit_reached_elsewhere_closes_the_entry(self, sale_redis):
        item, held = make_full_item(units=2, limit=1)
        entry, second = join(item, buyer="g:ann"), join(item)
        checkout.cancel(held[0])
        counters.claim_many(
            item.pk,
            epoch=item.epoch,
            claims=[counters.Claim(uuid4(), "g:ann", 1)],
            offer_ms=9000,
        )
        checkout.cancel(held[1])

        tick()
        tick()

        assert states(entry, second) == ["closed", "offered"]
        assert entry.reason == "limit"

    def test_a_lower_limit_makes_a_smaller_offer(self, sale_redis):
        item, held = make_full_item(units=2, limit=2)
        entry = join(item, quantity=2)
        adjustments.change_limit(item.pk, 1)
        for order_id in held:
            checkout.cancel(order_id)

        tick()
        tick()

        assert states(entry) == ["offered"]
        assert Order.objects.get(pk=entry.order_id).lines.get().quantity == 1

    def test_a_paused_sale_offers_nothing_until_it_goes_on(self, sale_redis):
        item, (held,) = make_full_item()
        entry = join(item)
        flash.pause(item.sale_id)
        checkout.cancel(held)

        assert tick() == 0
        flash.resume(item.sale_id)
        assert tick() == 1
        assert states(entry) == ["offered"]

    def test_an_order_id_that_somebody_else_uses_is_no_dead_end(self, sale_redis):
        item, held = make_full_item(units=2)
        entry, second = join(item), join(item)
        checkout.cancel(held[0])
        stolen = counters.Claim(entry.order_id, "g:thief", 1)
        counters.claim_many(item.pk, epoch=item.epoch, claims=[stolen], offer_ms=9000)
        checkout.cancel(held[1])

        tick()
        tick()

        assert states(entry, second) == ["closed", "offered"]


class TestTheMail:
    def offered(self, **fields):
        item, (held,) = make_full_item()
        entry = join(item, **fields)
        checkout.cancel(held)
        tick()
        return item, entry

    def test_it_says_what_to_do_until_when(self, sale_redis, settings):
        settings.SITE_URL = "https://shop.test"
        _, entry = self.offered(email="ann@shop.test")

        assert mails.send_due(timezone.now()) == 1

        (message,) = mail.outbox
        number = Order.objects.get(pk=entry.order_id).number
        assert message.to == ["ann@shop.test"]
        assert message.subject == f"It is your turn: order {number}"
        assert "It is held for you." in message.body
        assert " UTC." in message.body
        assert f"https://shop.test/orders/{entry.order_id}/" in message.body

    def test_it_is_in_the_language_of_the_page_that_was_used(self, sale_redis):
        with translation.override("id"):
            self.offered()

        mails.send_due(timezone.now())

        assert "giliran" in mail.outbox[0].subject.lower()

    def test_an_offer_that_is_gone_is_not_mailed(self, sale_redis):
        _, entry = self.offered()
        checkout.cancel(entry.order_id)
        tick()

        assert mails.send_due(timezone.now()) == 0

    def test_the_order_belongs_to_the_account(self, sale_redis):
        user = make_user()
        _, entry = self.offered(
            buyer=f"u:{user.pk}", user=user, email="elsewhere@shop.test"
        )

        order = Order.objects.get(pk=entry.order_id)
        assert (order.user, order.email) == (user, "elsewhere@shop.test")


class TestTheEnd:
    def test_the_end_of_the_sale_ends_the_line(self, sale_redis):
        item, (held,) = make_full_item()
        entry = join(item)
        flash.end(item.sale_id)
        checkout.cancel(held)

        assert tick() == 0

        assert states(entry) == ["closed"]
        assert (entry.reason, entry.email) == ("ended", "")
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

        jobs.drain_items(seconds=0.01)

        assert states(entry) == ["offered"]

    def test_without_a_line_a_tick_asks_little(
        self, sale_redis, django_assert_max_num_queries
    ):
        make_full_item()

        with django_assert_max_num_queries(2):
            waiting_list.serve(timezone.now())


def test_the_drain_does_not_skip_an_item_that_somebody_joins(sale_redis):
    item, (held,) = make_full_item()
    checkout.cancel(held)

    with transaction.atomic():  # as in the middle of a join
        WaitingEntry.objects.create(item=item, buyer="g:a", email="a@shop.test")
        (drained,) = run_at_once(lambda n: sync.drain(item.pk), [0])

    assert drained == 1
