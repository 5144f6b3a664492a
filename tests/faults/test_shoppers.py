"""What shoppers and merchants do at the worst moment, many at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from uuid import uuid4

import pytest
from django.db import connection

from catalog import stock, thresholds
from catalog.models import Stock
from sales import adjustments, checkout, counters, flash, jobs, sync
from sales.counters import ClaimRefused, Unsure
from sales.models import FlashSaleItem, ItemState, Order
from tests.factories import make_item, make_loaded_item, make_product
from tests.faults import invariants
from tests.faults.load import LOST, insist, settle_down, shopping
from tests.threads import run_at_once

pytestmark = [
    pytest.mark.redis,
    pytest.mark.long,
    pytest.mark.django_db(transaction=True),
]


def closing(function):
    def call(*arguments):
        try:
            return function(*arguments)
        finally:
            counters.disconnect()

    return call


def claim(item, order_id, *, buyer="g:alice", quantity=1):
    try:
        return flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=quantity)
    except ClaimRefused as refused:
        return refused.code


def test_one_order_id_a_thousand_times_at_once_is_one_claim(sale_redis, all_is_well):
    item = make_loaded_item(units=10)
    order_id = uuid4()

    def send(_):
        return [claim(item, order_id) for _ in range(50)]

    answers = [a for found in run_at_once(closing(send), range(20)) for a in found]

    assert len(answers) == 1000
    assert [a.replayed for a in answers].count(False) == 1
    assert len({(a.seq, a.left, a.expires_at) for a in answers}) == 1
    assert counters.snapshot(item.pk).held == 1
    all_is_well()
    assert Order.objects.count() == 1


def test_fifty_tabs_of_one_buyer_get_the_limit_of_two(sale_redis, all_is_well):
    item = make_loaded_item(product=make_product(on_hand=100), limit=2)

    answers = run_at_once(closing(lambda _: claim(item, uuid4())), range(50))

    admitted = [a for a in answers if not isinstance(a, str)]
    assert len(admitted) == 2
    assert {a for a in answers if isinstance(a, str)} == {"limit_reached"}
    all_is_well(limit=2)


def test_with_enough_demand_all_is_sold_down_to_the_floor(sale_redis, all_is_well):
    product = make_product(on_hand=60, safety_threshold=7)
    item = make_loaded_item(product=product, limit=2)

    def buy(number):
        bought = 0
        while True:
            order_id = uuid4()
            answer = claim(item, order_id, buyer=f"g:{number}.{bought}", quantity=1)
            if isinstance(answer, str):
                return answer
            bought += 1
            payment = insist(partial(checkout.begin_payment, order_id))
            checkout.finish(payment.pk, "paid")

    answers = run_at_once(closing(buy), range(8))

    assert set(answers) <= {"sold_out", "all_held"}
    flash.end(item.sale_id)
    settle_down()
    assert flash.settle(item.sale_id)
    item.refresh_from_db()
    assert invariants.violations(only_claims=True) == []
    assert (item.paid, item.left) == (53, 7)  # invariant 8
    row = Stock.objects.get(pk=product.pk)
    assert (row.on_hand, row.reserved, row.allocated) == (7, 0, 0)


def test_a_client_that_goes_away_before_the_answer_finds_its_claim(
    sale_redis, all_is_well
):
    """The script has run, and the connection breaks before its answer is read."""
    item = make_loaded_item(product=make_product(on_hand=20_000), limit=50)
    wanted = (item.pk, "g:alice", 2)

    def lose_the_answer():
        connected = counters.client().connection
        read = connected.read_response

        def broken(*arguments, **named):
            read(*arguments, **named)
            connected.disconnect()
            raise ConnectionResetError

        connected.read_response = broken

    with shopping(item, pace=0.002) as log:
        for _ in range(10):
            order_id = uuid4()
            log.sent[str(order_id)] = wanted
            lose_the_answer()
            with pytest.raises((Unsure, ConnectionResetError)):
                claim(item, order_id, quantity=2)
            counters.disconnect()

            again = claim(item, order_id, quantity=2)  # as the page does

            assert again.replayed
            log.acknowledged[str(order_id)] = wanted

    all_is_well(log)
    assert Order.objects.filter(buyer="g:alice").count() == 10


def test_holds_end_while_their_shoppers_pay_and_cancel(
    sale_redis, all_is_well, settings
):
    """Expiry, cancellation and payment of the same order, as they happen to meet."""
    settings.SHOP_FLASH_HOLD_SECONDS = 1
    item = make_loaded_item(product=make_product(on_hand=20_000), limit=50)
    with shopping(item, shoppers=6, pace=0.005) as log:
        ended = Order.objects.filter(state="expired")
        while ended.count() < 60:
            log.wait_for(20)

    all_is_well(log)
    states = set(Order.objects.values_list("state", flat=True))
    assert {"paid", "cancelled", "expired"} <= states


def test_a_client_that_never_comes_back_holds_its_units_only_for_a_while(
    sale_redis, all_is_well, settings
):
    settings.SHOP_FLASH_HOLD_SECONDS = 0
    item = make_loaded_item(units=2)
    counters.claim(item.pk, epoch=1, order_id=uuid4(), buyer="g:gone", quantity=2)
    settle_down()
    assert counters.snapshot(item.pk).left == 2
    all_is_well()


def test_preload_twice_at_once_and_while_the_sale_is_live(sale_redis, all_is_well):
    item = make_item(product=make_product(on_hand=3000), limit=50)

    @closing
    def preload(_):
        return [outcome.error for outcome in flash.preload(item.sale_id)]

    assert run_at_once(preload, range(4)) == [[""]] * 4
    with shopping(item, pace=0.001) as log:
        for _ in range(5):
            log.wait_for(20)
            run_at_once(preload, range(3))
            jobs.preload_due()

    all_is_well(log)
    item.refresh_from_db()
    assert (item.epoch, item.units) == (1, 3000)
    assert Stock.objects.get(pk=item.product_id).allocated == item.left


def test_two_drains_at_once_under_load(sale_redis, all_is_well):
    item = make_loaded_item(product=make_product(on_hand=20_000), limit=50)
    stop = threading.Event()

    def drain():
        try:
            while not stop.is_set():
                with suppress(*LOST):
                    sync.drain(item.pk, batch=7)
        finally:
            counters.disconnect()
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        drains = [pool.submit(drain) for _ in range(3)]
        with shopping(item, ticks=False, pace=0.001) as log:
            log.wait_for(300)
        stop.set()
        for each in drains:
            each.result()

    all_is_well(log)


def inject(item, fields, *, skip=0):
    """An event nobody's script has written, where the next one belongs."""
    meta, _, _, events = counters.keys(item.pk)
    script = (
        "local seq = redis.call('HINCRBY', KEYS[1], 'seq', ARGV[1])"
        " return redis.call('XADD', KEYS[2], seq .. '-0', unpack(ARGV, 2))"
    )
    flat = [text for pair in fields.items() for text in pair]
    return counters.client().eval(script, 2, meta, events, 1 + skip, *flat)


def test_a_poison_event_under_load_is_set_aside(sale_redis, all_is_well):
    item = make_loaded_item(product=make_product(on_hand=20_000), limit=50)
    with shopping(item, pace=0.001) as log:
        for number in range(3):
            log.wait_for(40)
            inject(item, {"event": "sell", "number": number})
        log.wait_for(40)

    all_is_well(log)
    item.refresh_from_db()
    assert (item.poison_events, item.epoch) == (3, 1)


def test_a_gap_under_load_freezes_and_recovery_goes_on(sale_redis, all_is_well):
    item = make_loaded_item(product=make_product(on_hand=20_000), limit=50)
    with shopping(item, pace=0.001) as log:
        log.wait_for(60)
        inject(item, {"event": "sell"}, skip=3)
        log.wait_for(60)

    all_is_well(log)
    item.refresh_from_db()
    assert item.epoch == 2
    frozen = item.sale.transitions.filter(to_state=ItemState.FROZEN)
    rebuilt = item.sale.transitions.filter(to_state=ItemState.RECOVERING)
    assert frozen.exists() or rebuilt.exists()


def test_merchants_change_everything_while_shoppers_buy(sale_redis, all_is_well):
    product = make_product(on_hand=20_000)
    item = make_loaded_item(product=product, units=5000, limit=50)
    changes = [
        lambda: adjustments.change_units(item.pk, 100),
        lambda: adjustments.change_units(item.pk, -50),
        lambda: adjustments.change_limit(item.pk, 40),
        lambda: thresholds.change(
            {product.pk: thresholds.Levels(safety_threshold=16_000)}
        ),
        lambda: stock.adjust(product.pk, on_hand=25_000, note=stock.Note(cause="test")),
        lambda: thresholds.change({product.pk: thresholds.Levels(safety_threshold=0)}),
        lambda: flash.pause(item.sale_id),
        lambda: flash.resume(item.sale_id),
        lambda: adjustments.change_price(item.pk, 3),
    ]
    with shopping(item, pace=0.002) as log:
        for change in changes:
            log.wait_for(15)
            change()
            if change is changes[-3]:
                log.wait_for_refusal("paused")
                flash.resume(item.sale_id)
        log.wait_for(30)
        flash.end(item.sale_id)
        log.wait_for_refusal("ended")

    all_is_well(log)
    assert FlashSaleItem.objects.get(pk=item.pk).units == 5050
