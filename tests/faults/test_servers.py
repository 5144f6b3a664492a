"""Servers that are full, gone, or gone together; sales that end well all the same."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection

from catalog.models import Stock
from sales import checkout, counters, flash, sync
from sales.counters import ClaimRefused
from sales.models import FlashSaleItem, Order
from shop import embedded
from shop.daemons import Redis
from tests.faults import invariants
from tests.faults.load import (
    Log,
    ask,
    insist,
    make_sellable_item,
    settle_down,
    shopping,
)

pytestmark = [
    pytest.mark.redis,
    pytest.mark.long,
    pytest.mark.django_db(transaction=True),
]
_pause = threading.Event()


@pytest.fixture
def own_queue_redis(tmp_path, settings):
    """A queue Redis of the test's own: it holds the second note of every claim."""
    server = Redis(tmp_path / "queue-redis", embedded.QUEUE_CONFIG)
    server.start()
    settings.QUEUE_REDIS_URL = server.url()
    yield server
    server.kill()


def test_redis_has_no_memory_left_for_a_while(own_sale_redis, all_is_well):
    item = make_sellable_item()
    with shopping(item, pace=0.002) as log:
        log.wait_for(60)
        ask("CONFIG SET", "maxmemory", 1)
        log.wait_for_refusal("not_loaded")
        _pause.wait(0.3)
        ask("CONFIG SET", "maxmemory", 0)
        log.wait_for(60)

    all_is_well(log)
    assert FlashSaleItem.objects.get(pk=item.pk).epoch == 1


def test_the_queue_redis_is_away_for_a_while(
    own_sale_redis, own_queue_redis, all_is_well
):
    """Nobody notices: it only keeps the second note of each claim."""
    item = make_sellable_item()
    with shopping(item, pace=0.002) as log:
        log.wait_for(60)
        own_queue_redis.kill()
        log.wait_for(60)
        own_queue_redis.start()
        log.wait_for(60)

    all_is_well(log)


def test_the_sale_redis_is_lost_after_the_queue_redis_was(
    own_sale_redis, own_queue_redis, all_is_well
):
    """What is drained needs no second note, and new claims are noted again."""
    item = make_sellable_item()
    with shopping(item, pace=0.002) as log:
        log.wait_for(60)
        own_queue_redis.kill()
        own_queue_redis.start()
        log.wait_for(60)
        wanted = Order.objects.count() + 60  # what was claimed before is drained
        while Order.objects.count() < wanted:
            _pause.wait(0.05)
        ask("FLUSHALL")
        log.wait_for(60)

    all_is_well(log)
    assert FlashSaleItem.objects.get(pk=item.pk).epoch == 2


def test_both_redis_servers_lost_at_once_sell_nothing_twice(
    own_sale_redis, own_queue_redis
):
    """The one loss that costs claims: those that were not drained at that moment."""
    item = make_sellable_item(units=60)
    drained, on_its_way = [uuid4() for _ in range(5)], [uuid4() for _ in range(3)]
    with counters.patience(10):
        for order_id in drained:
            flash.claim(item.pk, order_id=order_id, buyer="g:early", quantity=2)
        sync.drain(item.pk)
        for order_id in on_its_way:
            flash.claim(item.pk, order_id=order_id, buyer="g:late", quantity=2)
    for server in (own_sale_redis, own_queue_redis):
        server.kill()
        shutil.rmtree(server.directory)
        server.start()

    settle_down()

    item.refresh_from_db()
    known = set(Order.objects.values_list("claim_id", flat=True))
    assert known == set(drained)
    assert (item.left, item.held, item.epoch) == (50, 10, 2)
    assert invariants.violations() == []
    # Whoever was lost asks again by the same id, and gets a unit while there is one.
    lost = {"order_id": on_its_way[0], "buyer": "g:late", "quantity": 2}
    again = insist(lambda: flash.claim(item.pk, **lost))
    assert not again.replayed


def buy(item, log, name):
    """Claim one unit and pay it, whatever happens on the way."""
    order_id, buyer = uuid4(), f"g:{name}.{uuid4()}"
    wanted = log.sent[str(order_id)] = (item.pk, buyer, 1)
    insist(lambda: flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=1))
    log.note(log.acknowledged, str(order_id), wanted)
    payment = insist(lambda: checkout.begin_payment(order_id))
    insist(lambda: checkout.finish(payment.pk, "paid"))
    log.paid.add(str(order_id))


def buy_until_sold_out(item, log, name, over):
    try:
        while not over.is_set():
            try:
                buy(item, log, name)
            except ClaimRefused as refused:
                if refused.code == "sold_out":
                    return
                _pause.wait(0.01)  # all held: somebody is paying
    except BaseException:
        over.set()
        raise
    finally:
        counters.disconnect()
        connection.close()


def test_a_sale_that_was_disturbed_is_sold_out_to_the_last_unit(own_sale_redis):
    """Invariant 8: no fault leaves a unit unsold for which there is a buyer."""
    item = make_sellable_item(units=400, floor=7)
    log, over = Log(), threading.Event()

    def kill():
        own_sale_redis.kill()
        own_sale_redis.start()

    faults = [kill, lambda: ask("FLUSHALL"), kill, lambda: ask("SCRIPT FLUSH"), kill]
    with shopping(item, shoppers=0), ThreadPoolExecutor(5) as pool:
        shops = [pool.submit(buy_until_sold_out, item, log, n, over) for n in range(5)]
        for fault in faults:
            log.wait_for(40)
            fault()
        for each in shops:
            each.result()
    flash.end(item.sale_id)
    settle_down()

    assert flash.settle(item.sale_id)
    assert invariants.violations(log=log) == []
    assert invariants.held_to_the_end(item)
    row = Stock.objects.get(pk=item.product_id)
    assert (row.on_hand, row.reserved, row.allocated) == (7, 0, 0)
