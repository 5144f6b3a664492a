"""From a lost or doubtful Redis back to a live sale."""

import shutil
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from catalog.models import Stock
from sales import adjustments, checkout, counters, flash, recovery, sync
from sales.checkout import refunding
from sales.flash import preloading
from sales.models import FlashSale, FlashSaleItem, ItemState, Order, Payment
from sales.recovery import rebuilding
from tests.factories import make_item, make_loaded_item, make_product
from tests.faults import invariants
from tests.threads import run_at_once

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]

EVENTS = 3


def claim(item, quantity=1, *, buyer="g:alice", order_id=None):
    order_id = order_id or uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=quantity)
    return order_id


def pay(order_id, outcome="paid"):
    payment = checkout.begin_payment(order_id)
    return checkout.finish(payment.pk, outcome)


def fresh(item):
    return FlashSaleItem.objects.get(pk=item.pk)


def lose(redis):
    """All keys and all scripts, as after a start from nothing."""
    redis.flushall()
    redis.script_flush()


def numbers(item):
    s = counters.snapshot(item.pk)
    return (s.left, s.held, s.paying, s.paid)


def state_of(order_id):
    return Order.objects.get(claim_id=order_id).state


@pytest.fixture(autouse=True)
def _all_is_well(request):
    """Whatever was recovered has to be right by all invariants."""
    for name in ("transactional_db", "sale_redis"):
        if name in request.fixturenames or name == "transactional_db":
            request.getfixturevalue(name)
    yield
    if "own_sale_redis" not in request.fixturenames:
        for item_id in sync.loaded_items():
            sync.drain(item_id)
        assert invariants.violations() == []


class TestVerify:
    def test_a_whole_item_keeps_its_epoch_and_drains_its_tail(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        sale_redis.script_flush()

        (outcome,) = recovery.open_fence()

        assert not outcome.rebuilt
        assert outcome.found == "the counters are whole"
        assert state_of(order_id) == "held"
        assert fresh(item).epoch == 1
        assert claim(item)

    def test_an_open_fence_is_left_alone(self, sale_redis):
        make_loaded_item()
        assert recovery.open_fence() == []
        assert recovery.heal() == []
        (outcome,) = recovery.open_fence(force=True)
        assert not outcome.rebuilt

    def test_a_live_item_can_be_looked_at_without_harm(self, sale_redis):
        item = make_loaded_item(product=make_product(on_hand=500))

        def work(number):
            try:
                if number == 0:
                    return [recovery.recover(item.pk) for _ in range(10)]
                return [claim(item, buyer=f"g:{number}.{n}") for n in range(20)]
            finally:
                counters.disconnect()

        outcomes, *_ = run_at_once(work, range(5))

        assert not any(outcome.rebuilt for outcome in outcomes)

    def test_a_frozen_item_that_is_sound_goes_on(self, sale_redis):
        item = make_loaded_item()
        sync.freeze(item.pk, "somebody doubted")
        recovery.heal()
        assert (fresh(item).state, fresh(item).doubt) == (ItemState.LOADED, "")
        assert claim(item)

    def test_all_items_of_a_node_are_verified_before_any_is_open(self, sale_redis):
        items = [make_loaded_item() for _ in range(3)]
        lose(sale_redis)
        outcomes = recovery.open_fence()
        assert {outcome.item_id for outcome in outcomes} == {item.pk for item in items}
        assert all(outcome.rebuilt for outcome in outcomes)

    def test_what_opens_meets_the_threshold_of_now(self, sale_redis):
        item = make_loaded_item(product=make_product(on_hand=10))
        sale_redis.script_flush()
        Stock.objects.filter(pk=item.product_id).update(safety_threshold=4)
        recovery.open_fence()
        assert counters.snapshot(item.pk).floor == 4

    @pytest.mark.parametrize(
        ("step", "word"), [(flash.pause, "paused"), (flash.end, "ended")]
    )
    def test_what_was_closed_stays_closed(self, sale_redis, step, word):
        item = make_loaded_item()
        lose(sale_redis)
        step(item.sale_id)
        recovery.open_fence()
        assert counters.snapshot(item.pk).state == word

    def test_an_item_paused_by_the_audit_stays_paused(self, sale_redis):
        item = make_loaded_item()
        sync.move_item(item, ItemState.PAUSED, note="a violation")
        lose(sale_redis)
        recovery.open_fence()
        assert fresh(item).state == ItemState.PAUSED
        assert counters.snapshot(item.pk).state == "paused"


DAMAGES = {
    "a counter is another": lambda r, k, i: r.hincrby(k[0], "left", 1),
    "two counters hide each other": lambda r, k, i: (
        r.hincrby(k[0], "left", 1),
        r.hincrby(k[0], "held", -1),
    ),
    "the number went back": lambda r, k, i: r.hincrby(k[0], "seq", -1),
    "the number went ahead": lambda r, k, i: r.hincrby(k[0], "seq", 5),
    "a field is gone": lambda r, k, i: r.hdel(k[0], "hold_ms"),
    "a field is no number": lambda r, k, i: r.hset(k[0], "left", "many"),
    "a claim is gone": lambda r, k, i: r.hdel(k[1], str(i)),
    "a key has another type": lambda r, k, i: r.set(k[2], "x"),
    "the epoch is another": lambda r, k, i: [
        r.hset(key, "epoch" if key == k[0] else "_epoch", 9) for key in k[:3]
    ],
    "an event is gone": lambda r, k, i: r.xdel(k[3], f"{EVENTS}-0"),
    "the stream was cut": lambda r, k, i: r.xtrim(k[3], maxlen=0),
}
# Nobody sees these without reading all events and claims, which the audit does.
NEED_THE_AUDIT = {
    "two counters hide each other",
    "an event is gone",
    "a claim is gone",
}


class TestRebuild:
    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("drained", [True, False])
    def test_whatever_is_wrong_in_redis_is_found_and_put_right(
        self, sale_redis, damage, drained
    ):
        item = make_loaded_item()
        order_id = claim(item, 2)  # with preload and opening, event 3
        assert counters.snapshot(item.pk).seq == EVENTS
        if drained:
            sync.drain(item.pk)
        DAMAGES[damage](sale_redis, counters.keys(item.pk), order_id)
        sale_redis.script_flush()

        (outcome,) = recovery.open_fence()

        assert outcome.rebuilt, outcome
        assert numbers(item) == (8, 2, 0, 0)
        assert fresh(item).epoch == 2
        assert flash.claim(
            item.pk, order_id=order_id, buyer="g:alice", quantity=2
        ).replayed

    @pytest.mark.parametrize("damage", sorted(DAMAGES.keys() - NEED_THE_AUDIT))
    def test_most_of_it_is_seen_at_a_glance_while_the_fence_is_open(
        self, sale_redis, damage
    ):
        item = make_loaded_item()
        order_id = claim(item, 2)
        DAMAGES[damage](sale_redis, counters.keys(item.pk), order_id)

        (outcome,) = recovery.heal()

        assert outcome.rebuilt, outcome
        assert numbers(item) == (8, 2, 0, 0)

    def test_every_state_of_an_order_comes_back(self, sale_redis, settings):
        item = make_loaded_item(product=make_product(on_hand=20))
        _held, paying, paid, gone, back = (claim(item, 2) for _ in range(5))
        checkout.begin_payment(paying)
        pay(paid)
        checkout.cancel(gone)
        pay(back)
        checkout.refund(back, restock=False)
        sync.drain(item.pk)
        before = dict(counters.claims(item.pk))
        lose(sale_redis)

        recovery.open_fence()

        after = dict(counters.claims(item.pk))
        assert {pk: (c.state, c.quantity, c.seq) for pk, c in after.items()} == {
            pk: (c.state, c.quantity, c.seq) for pk, c in before.items()
        }
        assert counters.buyers(item.pk) == {"g:alice": 6}
        s = counters.snapshot(item.pk)
        assert (s.units, s.left, s.released) == (18, 12, 2)

    def test_numbers_are_never_used_twice(self, sale_redis):
        item = make_loaded_item()
        lost = claim(item)
        seq = counters.find(item.pk, lost).seq
        lose(sale_redis)
        recovery.open_fence()
        assert counters.snapshot(item.pk).seq > seq + 1000
        again = counters.find(item.pk, lost)
        assert again.seq > seq

    def test_limits_hold_across_a_rebuild(self, sale_redis):
        item = make_loaded_item(limit=3)
        claim(item, 2)
        lose(sale_redis)
        recovery.open_fence()
        with pytest.raises(counters.ClaimRefused, match="limit_reached"):
            claim(item, 2)
        claim(item, 1)

    def test_units_that_were_added_are_added_once(self, sale_redis):
        item = make_loaded_item(product=make_product(on_hand=30), units=10)
        adjustments.change_units(item.pk, 5)
        lose(sale_redis)  # before the drain heard of it
        recovery.open_fence()
        assert counters.snapshot(item.pk).units == 10

        adjustments.send_waiting()
        adjustments.send_waiting()

        assert counters.snapshot(item.pk).units == 15
        assert Stock.objects.get(pk=item.product_id).allocated == 15

    def test_an_item_that_never_reached_redis_is_made(self, sale_redis):
        item = make_item(units=4)
        preloading._allocate(item.pk)
        (outcome,) = recovery.heal()
        assert outcome.rebuilt
        assert numbers(item) == (4, 0, 0, 0)
        assert fresh(item).loaded_at

    def test_a_lost_item_is_never_preloaded_anew(self, sale_redis):
        """It would start with all its units, and with nobody owning any."""
        item = make_loaded_item(units=4)
        claim(item, 3)
        FlashSaleItem.objects.filter(pk=item.pk).update(loaded_at=timezone.now())
        sale_redis.flushall()

        flash.preload(item.sale_id)

        with pytest.raises(counters.NotLoaded):
            claim(item)
        recovery.heal()
        assert numbers(item) == (1, 3, 0, 0)

    def test_two_recoveries_at_once_rebuild_once(self, sale_redis):
        item = make_loaded_item()
        claim(item)
        lose(sale_redis)

        def recover(_):
            try:
                return recovery.open_fence()
            finally:
                counters.disconnect()

        run_at_once(recover, range(3))

        assert fresh(item).epoch == 2
        assert numbers(item) == (9, 1, 0, 0)

    def test_an_old_epoch_that_comes_back_admits_nobody(self, sale_redis):
        item = make_loaded_item()
        claim(item)
        dumps = {
            key: sale_redis.execute_command("DUMP", key, NEVER_DECODE=True)
            for key in counters.keys(item.pk)
        }
        lose(sale_redis)
        recovery.open_fence()
        counters.delete(item.pk)
        for key, dump in dumps.items():
            sale_redis.restore(key, 0, dump)

        with pytest.raises(counters.Unsure):  # whoever still knows it as epoch 1
            claim(item)
        flash.forget_epochs()
        with pytest.raises(counters.NotLoaded):
            claim(item)

        recovery.heal()
        assert fresh(item).epoch == 3
        assert claim(item)


class TestJournal:
    def test_a_cancelled_claim_stays_cancelled(self, sale_redis):
        item = make_loaded_item(units=5)
        kept, gone = claim(item, 2), claim(item, 3)
        checkout.cancel(gone)
        lose(sale_redis)
        recovery.open_fence()
        assert (state_of(kept), state_of(gone)) == ("held", "cancelled")
        assert numbers(item) == (3, 2, 0, 0)

    def test_a_unit_that_was_cancelled_belongs_to_the_next_buyer(self, sale_redis):
        item = make_loaded_item(units=1)
        first = claim(item)
        sync.drain(item.pk)
        checkout.cancel(first)
        second = claim(item, buyer="g:bob")
        lose(sale_redis)
        recovery.open_fence()
        assert (state_of(first), state_of(second)) == ("cancelled", "held")

    def test_a_claim_that_was_made_again_is_kept(self, sale_redis, settings):
        item = make_loaded_item(units=2)
        order_id = claim(item)
        checkout.cancel(order_id)
        sync.drain(item.pk)
        settings.SHOP_FLASH_HOLD_SECONDS = 1200
        counters.client().hset(counters.keys(item.pk)[0], "hold_ms", 1_200_000)
        checkout.claim_again(order_id)
        lose(sale_redis)
        recovery.open_fence()
        assert state_of(order_id) == "held"

    def test_what_is_in_postgresql_is_not_taken_from_the_journal(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        note = counters.journaled(item.pk)[order_id]
        sync.drain(item.pk)
        counters.journal(item.pk, order_id, note, epoch=1)  # came late
        lose(sale_redis)
        recovery.open_fence()
        assert numbers(item) == (9, 1, 0, 0)

    def test_a_noted_offer_of_a_long_hold_was_not_made_in_the_future(self, sale_redis):
        item = make_loaded_item()
        offer = counters.Claim(uuid4(), "g:alice", 1)
        (made,) = counters.claim_many(
            item.pk, epoch=1, claims=[offer], offer_ms=3_600_000
        )
        note = counters.Note(made.stored(buyer=offer.buyer, quantity=1), made.seq)
        counters.journal(item.pk, offer.order_id, note, epoch=1)
        lose(sale_redis)

        recovery.open_fence()

        order = Order.objects.get(claim_id=offer.order_id)
        assert order.state == "held"
        assert order.created_at <= timezone.now()

    def test_a_note_that_finds_no_units_is_left_out_and_told(self, sale_redis, caplog):
        item = make_loaded_item(units=2)
        order_id = claim(item, 2)
        note = counters.journaled(item.pk)[order_id]
        counters.journal(item.pk, uuid4(), note, epoch=1)
        lose(sale_redis)
        recovery.open_fence()
        assert numbers(item)[:2] == (0, 2)
        assert "finds no units" in caplog.text


class TestPayments:
    """Money is in PostgreSQL: what it proves is not lost with Redis."""

    @pytest.mark.parametrize(
        ("outcome", "state"),
        [("pending", "paying"), ("paid", "paid"), ("declined", "cancelled")],
    )
    @pytest.mark.parametrize("drained", [True, False])
    def test_steps_that_a_payment_proves_are_kept(
        self, sale_redis, outcome, state, drained
    ):
        item = make_loaded_item()
        order_id = claim(item, 2)
        payment = checkout.begin_payment(order_id)
        if drained:
            sync.drain(item.pk)
        if outcome != "pending":
            checkout.finish(payment.pk, outcome)
        lose(sale_redis)

        recovery.open_fence()

        assert state_of(order_id) == state
        checkout.follow_payments(timezone.now())
        sync.drain(item.pk)
        assert state_of(order_id) == state

    def test_the_word_that_came_while_redis_was_lost_is_followed(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        payment = checkout.begin_payment(order_id)
        lose(sale_redis)

        checkout.finish(payment.pk, "paid")  # cannot be followed now

        payment.refresh_from_db()
        assert (payment.state, payment.handled_at) == ("paid", None)
        recovery.open_fence()
        checkout.follow_payments(timezone.now())
        payment.refresh_from_db()
        assert payment.handled_at
        assert state_of(order_id) == "paid"

    def test_a_claim_held_again_after_a_decline_stays_held(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        pay(order_id, "declined")
        Payment.objects.update(created_at=timezone.now() - timedelta(seconds=5))
        checkout.claim_again(order_id)
        sync.drain(item.pk)
        lose(sale_redis)
        recovery.open_fence()
        assert state_of(order_id) == "held"

    @pytest.mark.parametrize("hold_ms", [60_000, 3_600_000])
    def test_a_decline_ends_a_claim_however_long_it_was_held(self, sale_redis, hold_ms):
        """Offers of the waiting list hold for another time than ordinary claims."""
        item = make_loaded_item()
        offer = counters.Claim(uuid4(), "g:alice", 1)
        counters.claim_many(item.pk, epoch=1, claims=[offer], offer_ms=hold_ms)
        sync.drain(item.pk)
        pay(offer.order_id, "declined")
        lose(sale_redis)
        recovery.open_fence()
        assert state_of(offer.order_id) == "cancelled"

    def test_a_second_payment_decides_after_a_first_was_declined(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        pay(order_id, "declined")
        sync.drain(item.pk)
        checkout.claim_again(order_id)
        sync.drain(item.pk)
        checkout.begin_payment(order_id)
        lose(sale_redis)
        recovery.open_fence()
        assert state_of(order_id) == "paying"
        assert fresh(item).poison_events == 0

    def test_a_refund_that_was_lost_is_kept_and_its_units_stay_away(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item, 2)
        payment = pay(order_id)
        sync.drain(item.pk)
        counters.refund(item.pk, epoch=1, order_id=order_id, restock=True)
        refunding.send_back(payment)
        lose(sale_redis)
        recovery.open_fence()
        assert state_of(order_id) == "refunded"
        assert counters.snapshot(item.pk).units == 8

    def test_late_money_whose_second_claim_was_lost_is_followed_again(self, sale_redis):
        item = make_loaded_item(units=1)
        order_id = claim(item)
        payment = pay(order_id, "declined")
        sync.drain(item.pk)
        checkout.finish(payment.pk, "paid")
        lose(sale_redis)
        recovery.open_fence()
        checkout.follow_payments(timezone.now())
        sync.drain(item.pk)
        assert state_of(order_id) == "paid"


class TestFailure:
    def test_one_item_that_cannot_be_recovered_is_frozen_and_stops_no_other(
        self, sale_redis
    ):
        bad, good = make_loaded_item(), make_loaded_item()
        order_id = claim(bad, 4)
        # As if somebody had given the allocation away behind our back.
        Stock.objects.filter(pk=bad.product_id).update(allocated=2)
        sale_redis.script_flush()

        recovery.open_fence()

        assert claim(good)
        assert fresh(bad).state == ItemState.FROZEN
        with pytest.raises(counters.NotLoaded):
            claim(bad)
        Stock.objects.filter(pk=bad.product_id).update(allocated=10)
        recovery.heal()
        assert state_of(order_id) == "held"
        assert claim(bad)

    def test_a_node_stays_closed_when_an_item_could_not_be_closed(
        self, sale_redis, monkeypatch
    ):
        item = make_loaded_item()
        sale_redis.script_flush()
        monkeypatch.setattr(rebuilding, "recover", lambda item_id: 1 / 0)
        monkeypatch.setattr(sync, "freeze", lambda item_id, why: False)

        with pytest.raises(counters.NotLoaded, match="cannot be closed"):
            recovery.open_fence()

        assert not counters.has_scripts(item.pk)

    def test_a_restart_while_verifying_keeps_the_fence_closed(
        self, own_sale_redis, monkeypatch
    ):
        item = make_loaded_item()
        counters.flush_scripts()
        original = recovery.recover

        def restarted_meanwhile(item_id):
            outcome = original(item_id)
            own_sale_redis.kill()
            own_sale_redis.start()
            counters.disconnect()
            return outcome

        monkeypatch.setattr(rebuilding, "recover", restarted_meanwhile)
        with pytest.raises(counters.Unsure):
            recovery.open_fence()
        counters.disconnect()
        assert not counters.has_scripts(item.pk)

    def test_an_old_file_is_noticed(self, own_sale_redis, tmp_path):
        item = make_loaded_item()
        files = own_sale_redis.directory / "appendonlydir"
        order_id = claim(item)
        sync.drain(item.pk)
        own_sale_redis.kill()
        shutil.copytree(files, tmp_path / "old")
        own_sale_redis.start()
        counters.disconnect()
        recovery.open_fence()
        for _ in range(3):
            claim(item)
        sync.drain(item.pk)
        own_sale_redis.kill()
        shutil.rmtree(files)
        shutil.copytree(tmp_path / "old", files)
        own_sale_redis.start()
        counters.disconnect()

        (outcome,) = recovery.open_fence()

        assert "behind" in outcome.found
        assert numbers(item) == (6, 4, 0, 0)
        assert flash.claim(
            item.pk, order_id=order_id, buyer="g:alice", quantity=1
        ).replayed

    def test_an_old_file_of_an_ended_sale_is_not_settled(self, own_sale_redis):
        """Nothing may write to a node before it is verified, not even an end."""
        item = make_loaded_item()
        counters.flush_scripts()
        FlashSale.objects.filter(pk=item.sale_id).update(state="ended")
        before = counters.snapshot(item.pk)

        flash.advance()

        after = counters.snapshot(item.pk)
        assert (after.seq, after.state) == (before.seq, before.state)
        assert fresh(item).state == ItemState.LOADED

    def test_a_server_that_is_away_is_asked_again_later(self, own_sale_redis):
        make_loaded_item()
        own_sale_redis.kill()
        counters.disconnect()
        with pytest.raises(counters.NotLoaded):
            recovery.heal()
