"""Paying, expiry and cancelling in every order, and at once."""

from itertools import permutations
from threading import Event

import pytest
from django.db import transaction
from django.utils import timezone

from catalog.models import Stock
from sales import checkout, counters, orders, sync
from sales.models import Order, Payment
from sales.orders import NotPossible
from tests.factories import make_loaded_item
from tests.faults import invariants
from tests.sales.checkout.orders import (
    LATER,
    at_once,
    both_channels,
    claim,
    order_of,
    state_of,
)
from tests.threads import in_background, run_at_once, wait_for_blocked

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestRaces:
    @both_channels
    @pytest.mark.parametrize("order", list(permutations(["pay", "expire", "cancel"])))
    def test_confirm_expire_and_cancel_in_every_order(
        self, sale_redis, settings, channel, order
    ):
        settings.SHOP_FLASH_HOLD_SECONDS = 0 if order[0] != "pay" else 600
        order_id, product_id = order_of(channel)
        checkout.record(order_id)
        Order.objects.filter(pk=order_id).update(
            expires_at=timezone.now() + (LATER if order[0] == "pay" else -LATER)
        )

        def pay():
            checkout.finish(checkout.begin_payment(order_id).pk, "paid")

        def expire():
            return checkout.expire_due(timezone.now() + 2 * LATER) + orders.expire_due(
                timezone.now() + 2 * LATER
            )

        steps = {
            "pay": pay,
            "expire": expire,
            "cancel": lambda: checkout.cancel(order_id),
        }
        for step in order:
            try:
                steps[step]()
            except NotPossible:
                continue

        expected = {"pay": "paid", "expire": "expired", "cancel": "cancelled"}
        assert state_of(order_id) == expected[order[0]]
        row = Stock.objects.get(pk=product_id)
        assert (row.on_hand, row.reserved) == ((9, 0) if order[0] == "pay" else (10, 0))
        assert invariants.violations() == []

    @both_channels
    def test_confirm_expire_and_cancel_at_once(self, sale_redis, channel):
        order_id, product_id = order_of(channel)
        checkout.record(order_id)

        def pay():
            checkout.finish(checkout.begin_payment(order_id).pk, "paid")

        at_once(
            pay,
            lambda: checkout.cancel(order_id),
            lambda: checkout.expire_due(timezone.now() + LATER),
            lambda: orders.expire_due(timezone.now() + LATER),
            pay,
        )

        assert state_of(order_id) in ("paid", "cancelled", "expired")
        paid = state_of(order_id) == "paid"
        row = Stock.objects.get(pk=product_id)
        assert (row.on_hand, row.reserved) == ((9, 0) if paid else (10, 0))
        assert Payment.objects.filter(state="paid").count() == int(paid)
        assert invariants.violations() == []

    def test_two_followers_of_one_payment_decide_once(self, sale_redis):
        """The first finds nothing left; then a unit comes back, before the second."""
        item = make_loaded_item(units=1)
        order_id = claim(item)
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "declined")
        other = claim(item, buyer="g:bob")
        Payment.objects.filter(pk=payment.pk).update(state="paid", handled_at=None)
        payment.refresh_from_db()

        with in_background(lambda: checkout.follow(payment)):
            pass
        checkout.cancel(other)
        stale = Payment(
            **{f.attname: getattr(payment, f.attname) for f in Payment._meta.fields}
        )
        stale.state, stale.handled_at = "paid", None
        checkout.follow(stale)

        assert state_of(order_id) == "cancelled"
        assert Payment.objects.get(pk=payment.pk).state == "refunded"

    def test_late_money_is_not_overwritten_by_the_decline_before_it(self, sale_redis):
        order_id, _ = order_of("flash")
        payment = checkout.begin_payment(order_id)
        is_locked = Event()

        def decline():
            is_locked.wait(60)
            checkout.finish(payment.pk, "declined")

        with in_background(decline), transaction.atomic():
            Order.objects.select_for_update().get(pk=order_id)
            is_locked.set()
            wait_for_blocked(1)  # the decline is stored, and waits for the order
            late = Payment.objects.filter(pk=payment.pk)
            run_at_once(lambda _: late.update(state="paid"), [0])
        checkout.follow_payments(timezone.now())
        assert state_of(order_id) == "paid"

    def test_begin_at_the_very_end_of_a_hold_has_one_winner(self, sale_redis, settings):
        settings.SHOP_FLASH_HOLD_SECONDS = 1
        item = make_loaded_item()
        for _ in range(5):
            order_id = claim(item)
            sync.drain(item.pk)
            begin, _expired = at_once(
                lambda order_id=order_id: checkout.begin_payment(order_id),
                lambda: checkout.expire_due(timezone.now() + LATER),
            )
            state = counters.find(item.pk, order_id).state
            assert state in ("paying", "expired", "held")
            assert isinstance(begin, Payment) == (state == "paying")
