"""The audit finds nothing on a sale that is only busy."""

from contextlib import ExitStack
from functools import partial
from itertools import count, takewhile
from threading import Event

import pytest
from django.db import transaction

from catalog import stock, thresholds
from catalog.models import Stock
from sales import adjustments, audit, checkout, counters, flash, recovery, sync
from sales.models import (
    FlashEvent,
    FlashSaleItem,
    ItemState,
    Order,
    OrderState,
    Payment,
    Verdict,
)
from sales.orders import NotPossible
from tests.factories import make_loaded_item, make_product
from tests.sales.audit.sales import claim, make_lived_item, pay, violated
from tests.threads import in_background, wait_for_blocked

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]

# What a buyer or a tick may be told while an item is rebuilt.
NO_ALARM = (counters.NotLoaded, counters.Unsure, counters.ClaimRefused, NotPossible)


def test_what_is_no_drift_gives_no_alarm(sale_redis):
    item, (alice, _bob, _carol) = make_lived_item()
    adjustments.change_units(item.pk, 1)
    adjustments.change_units(item.pk, -2)
    adjustments.change_limit(item.pk, 1)
    thresholds.change({item.product_id: thresholds.Levels(safety_threshold=4)})
    assert audit.look().verdict == Verdict.HOLDS
    sync.drain(item.pk)
    checkout.refund(alice, restock=False)
    assert audit.look().verdict == Verdict.HOLDS

    counters.delete(item.pk)
    recovery.heal()
    claim(item, buyer="g:eve")
    assert audit.look().verdict == Verdict.HOLDS

    flash.end(item.sale_id)
    sync.drain(item.pk)
    for order in Order.objects.filter(state=OrderState.HELD):
        checkout.cancel(order.pk)
    for payment in Payment.objects.filter(state="pending"):
        checkout.finish(payment.pk, "paid")
    assert flash.settle(item.sale_id)
    paid = Order.objects.filter(state=OrderState.PAID).first()
    checkout.refund(paid.pk, restock=True)

    report = audit.look(audit.every_item())

    assert report.verdict == Verdict.HOLDS, violated(report)
    assert {f.invariant for f in report.findings if f.item_ids} >= {3, 5, 6}


def test_claims_that_only_the_journal_saved_are_no_drift(sale_redis):
    item, _ = make_lived_item()
    counters.delete(item.pk)  # with the claim of dan, which was not drained
    recovery.heal()

    report = audit.look()

    assert report.verdict == Verdict.HOLDS, violated(report)
    assert Order.objects.filter(buyer="g:dan").exists()


def test_an_item_that_is_being_recovered_is_not_checked(sale_redis):
    item, _ = make_lived_item()
    FlashSaleItem.objects.filter(pk=item.pk).update(
        state=ItemState.RECOVERING, epoch=2, last_seq=item.last_seq + 1_000_000
    )

    report = audit.look()

    assert report.verdict == Verdict.UNKNOWN, violated(report)


def test_an_item_on_its_way_into_redis_gives_no_alarm(sale_redis):
    item = make_loaded_item(units=4)
    counters.delete(item.pk)
    FlashSaleItem.objects.filter(pk=item.pk).update(loaded_at=None)

    assert audit.look().verdict == Verdict.HOLDS


def test_a_poison_event_is_counted_and_is_no_drift(sale_redis):
    item, _ = make_lived_item()
    meta, _claims, _buyers, events = counters.keys(item.pk)
    seq = int(sale_redis.hincrby(meta, "seq", 1))
    sale_redis.xadd(events, {"event": "nonsense", "epoch": 1}, id=f"{seq}-0")

    assert audit.look().verdict == Verdict.HOLDS
    sync.drain(item.pk)

    report = audit.look()
    assert report.verdict == Verdict.HOLDS, violated(report)
    assert [f.numbers["poison"] for f in report.findings if "poison" in f.numbers] == [
        1,
        1,
    ]


@pytest.mark.parametrize("part", range(4))
def test_missing_keys_are_not_checked_and_pause_nobody(sale_redis, part):
    item, _ = make_lived_item()
    sale_redis.delete(counters.keys(item.pk)[part])

    run = audit.run()

    assert run.verdict == Verdict.UNKNOWN
    assert FlashSaleItem.objects.get(pk=item.pk).state == ItemState.LOADED


def test_a_redis_that_does_not_answer_leaves_the_rest_checked(sale_redis, settings):
    make_lived_item()
    Stock.objects.filter(pk=make_product().pk).update(on_hand=1)
    settings.SALE_REDIS_URL = "unix:///nowhere.sock"

    report = audit.look()

    assert report.verdict == Verdict.DRIFT
    assert set(violated(report)) == {10}
    assert [f.holds for f in report.findings].count(None) == 4


def test_a_difference_counts_only_when_nobody_is_half_way(sale_redis):
    """Redis is changed before PostgreSQL commits; the audit waits and looks again."""
    item = make_loaded_item(units=4)
    sync.drain(item.pk)
    seen = []

    with ExitStack() as stack, transaction.atomic():
        FlashSaleItem.objects.select_for_update().get(pk=item.pk)
        counters.adjust(item.pk, epoch=1, units=1)
        sale_redis.hset(counters.keys(item.pk)[0], "left", 0)
        stack.enter_context(in_background(lambda: seen.append(audit.look())))
        wait_for_blocked(1)
        sale_redis.hset(counters.keys(item.pk)[0], "left", 5)

    (report,) = seen
    assert report.verdict == Verdict.HOLDS, violated(report)


def keep_buying(item, buyer, done):
    """Claim, and cancel or pay some of what was claimed, until `done`."""
    for turn in takewhile(lambda _: not done.is_set(), count()):
        try:
            order_id = claim(item, buyer=buyer)
            if turn % 3 == 1:
                checkout.cancel(order_id)
            elif turn % 3 == 2:
                pay(order_id)
        except NO_ALARM:
            continue
    counters.disconnect()


def keep_tending(item, done):
    """Drain in small batches, receive goods, add units, recover, until `done`."""
    for turn in takewhile(lambda _: not done.is_set(), count()):
        try:
            sync.drain(item.pk, batch=50)
            stock.receive(item.product_id, 1, note=stock.Note(cause="test"))
            if turn % 5 == 0:
                adjustments.change_units(item.pk, 1)
            if turn % 20 == 0:
                recovery.open_fence(force=True)
        except NO_ALARM:
            continue
    counters.disconnect()


def holding(reports):
    """How many looks found all in order; one in the middle of a rebuild cannot tell."""
    return sum(report.verdict == Verdict.HOLDS for report in reports)


def test_a_busy_sale_gives_no_false_alarm(sale_redis):
    product = make_product(on_hand=5000)
    item = make_loaded_item(product=product, units=4000, limit=5000)
    done = Event()
    reports = []
    buyers = [
        partial(keep_buying, item, f"g:{name}", done) for name in ("alice", "bob")
    ]
    with in_background(*buyers, partial(keep_tending, item, done)):
        try:
            while len(reports) < 20 or (holding(reports) < 12 and len(reports) < 200):
                number = len(reports)
                reports.append(audit.look(deep=number % 3 > 0))
                if number == 10:  # lose everything, and be rebuilt
                    counters.delete(item.pk)
                    recovery.heal()
        finally:
            done.set()

    alarms = [violated(r) for r in reports if r.verdict == Verdict.DRIFT]
    assert not alarms
    assert holding(reports) >= 12
    sync.drain(item.pk)
    kinds = set(FlashEvent.objects.values_list("kind", flat=True))
    assert kinds >= {"claim", "begin", "confirm", "release", "adjust", "recover"}
    assert audit.look().verdict == Verdict.HOLDS
