"""From an order to money and back, in both channels; every race and every doubt."""

from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from threading import Event
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from catalog.models import Stock
from sales import checkout, counters, flash, orders, recovery, sync
from sales.checkout import Pending, following
from sales.counters import ClaimRefused, NotLoaded
from sales.models import FlashSaleItem, ItemState, Order, Payment
from sales.orders import NotPossible
from tests.factories import make_loaded_item, make_product
from tests.faults import invariants
from tests.threads import in_background, run_at_once, wait_for_blocked

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]

CONTACT = orders.Contact(email="a@example.com")
LATER = timedelta(hours=2)


def claim(item, quantity=1, *, buyer="g:alice"):
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=quantity)
    return order_id


def place(product, quantity=1):
    return orders.place(uuid4(), [(product.pk, quantity)], contact=CONTACT).pk


def order_of(channel, *, units=10):
    """A held order of one unit in that channel, and the stock's product id."""
    product = make_product(on_hand=units)
    if channel == "regular":
        return place(product), product.pk
    item = make_loaded_item(product=product)
    return claim(item), product.pk


def state_of(order_id):
    for item_id in sync.loaded_items():
        sync.drain(item_id)
    return Order.objects.get(pk=order_id).state


def at_once(*calls):
    """The outcomes of calls in threads of their own: the answer or the exception."""

    def run(call):
        try:
            return call()
        except (NotPossible, ClaimRefused) as refused:
            return refused
        finally:
            counters.disconnect()

    return run_at_once(run, calls)


both_channels = pytest.mark.parametrize("channel", ["regular", "flash"])


class TestPaying:
    @both_channels
    def test_a_paid_order_takes_its_units_off_the_shelf(self, sale_redis, channel):
        order_id, product_id = order_of(channel)
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "paid", reference="r1")
        assert state_of(order_id) == "paid"
        payment.refresh_from_db()
        assert (payment.state, payment.reference) == ("paid", "r1")
        row = Stock.objects.get(pk=product_id)
        assert (row.on_hand, row.reserved) == (9, 0)
        assert invariants.of_stock() == []

    @both_channels
    def test_two_clicks_share_one_payment(self, sale_redis, channel):
        order_id, _ = order_of(channel)
        checkout.record(order_id)
        found = at_once(*[lambda: checkout.begin_payment(order_id).pk] * 4)
        assert len(set(found)) == 1
        assert Payment.objects.count() == 1

    @both_channels
    def test_a_decline_gives_the_units_back_at_once(self, sale_redis, channel):
        order_id, product_id = order_of(channel)
        checkout.finish(checkout.begin_payment(order_id).pk, "declined")
        assert state_of(order_id) == "cancelled"
        assert Stock.objects.get(pk=product_id).reserved == 0

    @both_channels
    def test_the_word_of_the_provider_may_come_often(self, sale_redis, channel):
        order_id, product_id = order_of(channel)
        payment = checkout.begin_payment(order_id)
        at_once(*[lambda: checkout.finish(payment.pk, "paid")] * 4)
        checkout.finish(payment.pk, "declined")  # the first word counts
        assert state_of(order_id) == "paid"
        assert Stock.objects.get(pk=product_id).on_hand == 9

    @both_channels
    def test_an_order_that_is_paid_cannot_be_paid_again(self, sale_redis, channel):
        order_id, _ = order_of(channel)
        checkout.finish(checkout.begin_payment(order_id).pk, "paid")
        state_of(order_id)
        with pytest.raises(NotPossible):
            checkout.begin_payment(order_id)
        assert Payment.objects.count() == 1

    @both_channels
    def test_an_order_that_is_gone_leaves_no_payment_behind(self, sale_redis, channel):
        order_id, _ = order_of(channel)
        checkout.cancel(order_id)
        with pytest.raises(NotPossible):
            checkout.begin_payment(order_id)
        assert Payment.objects.count() == 0

    def test_a_hold_that_has_ended_cannot_be_paid(self, sale_redis, settings):
        settings.SHOP_FLASH_HOLD_SECONDS = 0
        order_id, _ = order_of("flash")
        with pytest.raises(NotPossible, match="hold"):
            checkout.begin_payment(order_id)
        assert Payment.objects.count() == 0

    def test_an_unknown_order_is_not_found(self, sale_redis):
        make_loaded_item()
        for step in (checkout.begin_payment, checkout.cancel, checkout.claim_again):
            with pytest.raises(Order.DoesNotExist):
                step(uuid4())

    def test_only_the_two_words_are_outcomes(self):
        with pytest.raises(ValueError, match="not an outcome"):
            checkout.finish(uuid4(), "perhaps")


class TestLateMoney:
    @both_channels
    def test_money_after_a_decline_gets_a_unit_if_one_is_left(
        self, sale_redis, channel
    ):
        order_id, product_id = order_of(channel)
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "declined")
        checkout.finish(payment.pk, "paid")
        assert state_of(order_id) == "paid"
        assert Stock.objects.get(pk=product_id).on_hand == 9

    @both_channels
    def test_money_that_finds_nothing_left_goes_back(self, sale_redis, channel):
        order_id, product_id = order_of(channel, units=1)
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "declined")
        state_of(order_id)
        if channel == "flash":
            claim(FlashSaleItem.objects.get(), buyer="g:bob")
        else:
            orders.place(uuid4(), [(product_id, 1)], contact=CONTACT)

        checkout.finish(payment.pk, "paid")

        payment.refresh_from_db()
        assert (payment.state, bool(payment.handled_at)) == ("refunded", True)
        assert "too late" in payment.note
        assert state_of(order_id) == "cancelled"

    def test_money_after_the_settlement_goes_back(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "declined")
        flash.end(item.sale_id)
        flash.advance()
        assert FlashSaleItem.objects.get().state == ItemState.SETTLED
        checkout.finish(payment.pk, "paid")
        payment.refresh_from_db()
        assert payment.state == "refunded"

    @both_channels
    def test_an_order_paid_twice_gets_one_payment_back(self, sale_redis, channel):
        order_id, _ = order_of(channel)
        first = checkout.begin_payment(order_id)
        checkout.finish(first.pk, "declined")
        state_of(order_id)
        if channel == "flash":
            checkout.claim_again(order_id)
            second = checkout.begin_payment(order_id)
        else:
            second = Payment.objects.create(
                order_id=order_id, gateway="test", amount=Decimal(1), currency="USD"
            )
        checkout.finish(second.pk, "paid")

        checkout.finish(first.pk, "paid")

        states = dict(Payment.objects.values_list("pk", "state"))
        assert states == {first.pk: "refunded", second.pk: "paid"}
        assert state_of(order_id) == "paid"

    def test_a_decline_does_not_end_a_payment_that_came_after_it(self, sale_redis):
        order_id, _ = order_of("flash")
        first = checkout.begin_payment(order_id)
        # The decline is stored, and its order could not follow yet.
        Payment.objects.filter(pk=first.pk).update(state="declined")
        second = checkout.begin_payment(order_id)
        assert second.pk != first.pk

        checkout.follow_payments(timezone.now())

        assert state_of(order_id) == "paying"
        checkout.finish(second.pk, "paid")
        assert state_of(order_id) == "paid"


class TestDoubt:
    """A Redis that has lost an order is no reason to send its money back."""

    @pytest.mark.parametrize("lost", [*counters.PARTS, "scripts", "all"])
    def test_money_waits_for_recovery_and_is_not_sent_back(self, sale_redis, lost):
        item = make_loaded_item()
        order_id = claim(item)
        payment = checkout.begin_payment(order_id)
        sync.drain(item.pk)
        if lost in ("scripts", "all"):
            sale_redis.script_flush()
        if lost == "all":
            sale_redis.flushall()
        elif lost != "scripts":
            sale_redis.delete(f"flash:{{{item.pk}}}:{lost}")

        checkout.finish(payment.pk, "paid")

        payment.refresh_from_db()
        assert (payment.state, payment.handled_at) == ("paid", None)
        recovery.heal()
        assert checkout.follow_payments(timezone.now()) == 1
        assert state_of(order_id) == "paid"

    def test_a_claim_that_a_sound_redis_does_not_know_waits_too(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        payment = checkout.begin_payment(order_id)
        sale_redis.hdel(counters.keys(item.pk)[1], str(order_id))
        checkout.finish(payment.pk, "paid")
        payment.refresh_from_db()
        assert (payment.state, payment.handled_at) == ("paid", None)

    def test_the_shopper_sees_what_postgresql_has(self, sale_redis):
        item = make_loaded_item()
        drained = claim(item)
        sync.drain(item.pk)
        waiting = claim(item)
        assert isinstance(checkout.order_for_shopper(waiting), Pending)
        sale_redis.flushall()

        assert checkout.order_for_shopper(drained).state == "held"
        with pytest.raises(NotLoaded):
            checkout.order_for_shopper(waiting)  # "checking", and not "no such order"

    def test_an_order_of_a_sound_item_is_found_beside_a_lost_one(self, sale_redis):
        lost, sound = make_loaded_item(), make_loaded_item()
        order_id = claim(sound)
        counters.delete(lost.pk)
        assert checkout.order_for_shopper(order_id).item_id == sound.pk

    def test_the_shopper_sees_the_state_of_now_and_not_of_the_last_drain(
        self, sale_redis
    ):
        order_id, _ = order_of("flash")
        state_of(order_id)
        item = FlashSaleItem.objects.get()
        counters.begin_payment(item.pk, epoch=1, order_id=order_id)
        assert checkout.order_for_shopper(order_id).state == "paying"


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
            is_locked.wait(10)
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


class TestExpiry:
    def test_one_item_in_doubt_does_not_stop_the_others(self, sale_redis, settings):
        settings.SHOP_FLASH_HOLD_SECONDS = 0
        bad, good = make_loaded_item(), make_loaded_item()
        for item in (bad, good):
            for _ in range(3):
                claim(item)
            sync.drain(item.pk)
        sync.freeze(bad.pk, "a test")

        assert checkout.expire_due(timezone.now() + LATER, limit=3) == 3

    def test_a_hold_that_began_again_is_not_taken_by_its_old_end(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        sync.drain(item.pk)
        assert checkout.expire_due(timezone.now() + LATER) == 0  # Redis decides
        assert state_of(order_id) == "held"


class TestFollowing:
    def test_silent_payments_are_ended_and_give_their_units_back(
        self, sale_redis, settings
    ):
        settings.SHOP_PAYING_SECONDS = 60
        order_id, _ = order_of("flash")
        checkout.begin_payment(order_id)
        checkout.follow_payments(timezone.now())
        assert state_of(order_id) == "paying"
        checkout.follow_payments(timezone.now() + timedelta(seconds=61))
        assert state_of(order_id) == "cancelled"

    def test_an_order_in_payment_that_nobody_pays_is_released(self, sale_redis):
        order_id, _ = order_of("flash")
        checkout.begin_payment(order_id).delete()
        state_of(order_id)
        checkout.follow_payments(timezone.now())
        assert state_of(order_id) == "paying"
        checkout.follow_payments(timezone.now() + LATER)
        assert state_of(order_id) == "cancelled"

    def test_a_payment_that_cannot_be_followed_stops_no_other(
        self, sale_redis, monkeypatch
    ):
        bad, good = (order_of("flash")[0] for _ in range(2))
        for order_id in (bad, good):
            payment = checkout.begin_payment(order_id)
            Payment.objects.filter(pk=payment.pk).update(state="paid")
        original = following._take

        def take(order, payment):
            if order.pk == bad:
                raise RuntimeError("a test")
            return original(order, payment)

        monkeypatch.setattr(following, "_take", take)
        checkout.follow_payments(timezone.now())
        assert state_of(good) == "paid"
        assert state_of(bad) == "paying"

    @both_channels
    def test_money_of_a_refunded_order_goes_back_after_a_crash(
        self, sale_redis, channel
    ):
        order_id, _ = order_of(channel)
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "paid")
        state_of(order_id)
        if channel == "flash":  # and the process ends here
            item = FlashSaleItem.objects.get()
            counters.refund(item.pk, epoch=1, order_id=order_id, restock=True)
        else:
            orders.refund(order_id, restock=True)
        assert state_of(order_id) == "refunded"

        checkout.follow_payments(timezone.now())

        payment.refresh_from_db()
        assert (payment.state, bool(payment.handled_at)) == ("refunded", True)


class TestCancelAndClaimAgain:
    @both_channels
    def test_what_is_in_payment_cannot_be_cancelled(self, sale_redis, channel):
        order_id, _ = order_of(channel)
        checkout.begin_payment(order_id)
        with pytest.raises(NotPossible, match="refunded, not cancelled"):
            checkout.cancel(order_id)

    def test_a_claim_that_is_still_in_the_stream_can_be_cancelled(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item, 3)
        checkout.cancel(order_id)
        checkout.cancel(order_id)
        assert counters.snapshot(item.pk).left == 10

    def test_a_refunded_order_cannot_be_held_again(self, sale_redis):
        order_id, _ = order_of("flash")
        checkout.finish(checkout.begin_payment(order_id).pk, "paid")
        checkout.refund(order_id, restock=True)
        with pytest.raises(NotPossible):
            checkout.claim_again(order_id)

    def test_an_order_held_again_has_a_new_end_and_may_be_paid(self, sale_redis):
        order_id, _ = order_of("flash")
        checkout.cancel(order_id)
        assert checkout.claim_again(order_id).state == "held"
        checkout.finish(checkout.begin_payment(order_id).pk, "paid")
        assert state_of(order_id) == "paid"
