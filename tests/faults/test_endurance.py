"""The sale Redis lost again and again under load: nothing lost, nothing oversold.

A short run does everything a few times and rebuilds a small sale; FAULTS=long kills
Redis a hundred times and rebuilds 100,000 orders. docs/reliability.md has the figures.
"""

import os
import random
import shutil
import signal
import threading
from collections import Counter
from functools import partial
from statistics import median
from time import monotonic
from uuid import uuid4

import pytest

from catalog.models import Stock
from sales import counters, recovery, sync
from sales.models import FlashSaleItem, Order
from tests.factories import make_loaded_item, make_product
from tests.faults import invariants
from tests.faults.load import ask, make_sellable_item, settle_down, shopping

pytestmark = [
    pytest.mark.redis,
    pytest.mark.long,
    pytest.mark.django_db(transaction=True),
]

LONG = os.environ.get("FAULTS") == "long"
KILLS = 100 if LONG else 3
FAULTS = 70 if LONG else 7
ORDERS = 100_000 if LONG else 2_000
_pause = threading.Event()


def outages_of(item, faults):
    """Do one fault after the other while shoppers buy; when did the next get one?"""
    outages = []
    with shopping(item, shoppers=6, pace=0.005) as log:
        log.wait_for(50)
        for fault in faults:
            fault()
            healed = monotonic()
            log.wait_for(1)
            outages.append(monotonic() - healed)
            log.wait_for(10)
        log.wait_for(50)
    settle_down()
    return log, outages


def figures(item, log, outages):
    """What every endurance run has to show, as a sentence, after asserting it."""
    item.refresh_from_db()
    orders = set(map(str, Order.objects.values_list("claim_id", flat=True)))
    lost = [claim for claim in log.acknowledged if claim not in orders]
    oversold = max(0, item.held + item.paying + item.paid - item.units)
    assert (lost, oversold) == ([], 0)
    assert invariants.violations(log=log) == []
    unheard = len(orders) - len(log.acknowledged)
    return (
        f"{len(log.acknowledged):,} claims acknowledged, {len(lost)} lost, "
        f"{oversold} oversold; {unheard} more whose answer was lost were kept; "
        f"selling again after {median(outages):.2f} s (median), "
        f"{max(outages):.2f} s (longest); {item.epoch - 1} rebuilds"
    )


def test_redis_is_killed_at_random_moments(own_sale_redis, report):
    """Now and then once more while it is being verified."""
    chance = random.Random(20)
    item = make_sellable_item(200_000, floor=100)
    kills = Counter()

    def kill():
        _pause.wait(chance.random() / 2)
        own_sale_redis.kill()
        own_sale_redis.start()
        kills["all"] += 1
        if chance.random() < 0.25:
            _pause.wait(chance.random() / 10)
            own_sale_redis.kill()
            own_sale_redis.start()
            kills["all"] += 1

    start = monotonic()
    log, outages = outages_of(item, [kill] * KILLS)
    seconds = monotonic() - start

    said = figures(item, log, outages)
    report(f"{kills['all']} kills in {seconds:.0f} s; {said}")
    assert FlashSaleItem.objects.get(pk=item.pk).epoch == 1  # all was in the file


def test_faults_of_every_kind_in_random_order(own_sale_redis, report, tmp_path):
    chance = random.Random(11)
    item = make_sellable_item(200_000, floor=100)
    files, old = own_sale_redis.directory / "appendonlydir", tmp_path / "old"

    def restart(*, with_old_file=False):
        own_sale_redis.kill()
        if with_old_file and old.exists():
            shutil.rmtree(files)
            shutil.copytree(old, files)
        shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(files, old)
        own_sale_redis.start()

    def stand_still():
        own_sale_redis._process.send_signal(signal.SIGSTOP)
        _pause.wait(0.5)
        own_sale_redis._process.send_signal(signal.SIGCONT)

    kinds = {
        "kills": restart,
        "old files": partial(restart, with_old_file=True),
        "stops": stand_still,
        "flushes": partial(ask, "FLUSHALL"),
        "script flushes": partial(ask, "SCRIPT FLUSH"),
        "lost keys": lambda: ask("DEL", chance.choice(counters.keys(item.pk))),
        "lost counters": lambda: ask(
            "HDEL", counters.keys(item.pk)[0], chance.choice(counters.META_FIELDS)
        ),
    }
    names = list(kinds) * (FAULTS // len(kinds))
    chance.shuffle(names)

    log, outages = outages_of(item, [kinds[name] for name in names])

    said = figures(item, log, outages)
    report(f"{len(names)} faults ({', '.join(kinds)}); {said}")
    assert FlashSaleItem.objects.get(pk=item.pk).epoch > 1


def make_sold(number):
    """An item with so many held orders, in Redis and in PostgreSQL."""
    product = make_product(on_hand=number * 2)
    with counters.patience(10):
        item = make_loaded_item(product=product, limit=1)
    for first in range(0, number, 5000):
        wanted = [
            counters.Claim(uuid4(), f"g:{n}", 1)
            for n in range(first, min(first + 5000, number))
        ]
        with counters.patience(30):
            counters.claim_many(item.pk, epoch=item.epoch, claims=wanted)
        sync.drain(item.pk)
    return item


def test_a_sale_with_many_orders_is_verified_and_rebuilt_in_seconds(
    own_sale_redis, report
):
    item = make_sold(ORDERS)
    assert Order.objects.count() == ORDERS

    own_sale_redis.kill()
    start = monotonic()
    own_sale_redis.start()
    restarted = monotonic() - start
    counters.disconnect()
    start = monotonic()
    (verified,) = recovery.open_fence()
    verify = monotonic() - start
    assert not verified.rebuilt

    with counters.patience(30):
        counters.client().flushall()
        counters.client().script_flush()
    start = monotonic()
    (rebuilt,) = recovery.open_fence()
    rebuild = monotonic() - start
    assert rebuilt.rebuilt

    assert FlashSaleItem.objects.get(pk=item.pk).held == ORDERS
    assert Stock.objects.get(pk=item.product_id).reserved == ORDERS
    with counters.patience(30):
        assert counters.snapshot(item.pk).claims == ORDERS
    report(
        f"{ORDERS:,} orders: Redis read its file in {restarted:.1f} s, the sale was "
        f"verified in {verify:.2f} s, and rebuilt from nothing in {rebuild:.1f} s"
    )
    assert rebuild < (30 if LONG else 10)  # three on an idle machine
