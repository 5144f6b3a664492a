"""The waiting list: the first in line gets what comes back, and a mail."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.core import mail
from django.utils import timezone, translation

from sales import adjustments, checkout, counters, flash, mails, waiting_list
from sales.counters import ClaimRefused
from sales.models import Order, OrderMail
from tests.factories import make_user
from tests.sales.waiting_list.line import join, kept, make_full_item, states, tick
from tests.threads import run_at_once

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


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
