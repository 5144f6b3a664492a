"""Builds that are broken on purpose: the same checks catch each of them.

Without these, a suite that is always green would prove nothing.
"""

import shutil
from hashlib import sha1
from itertools import count
from uuid import uuid4

import pytest
from django.db import transaction
from redis.exceptions import NoScriptError

from sales import checkout, counters, flash, recovery, sync
from sales.counters import ClaimRefused, connections, scripts
from sales.models import FlashSaleItem
from sales.recovery import doubts
from sales.sync import draining
from tests.factories import make_loaded_item, make_product
from tests.faults import invariants
from tests.faults.crash import dies_at
from tests.faults.load import LOST, Log, tick

pytestmark = [
    pytest.mark.redis,
    pytest.mark.long,
    pytest.mark.django_db(transaction=True),
]


def sell(item, log, number):
    """Claims of one unit each, until they are refused; returns how many got one."""
    admitted = 0
    for _ in range(number):
        order_id, buyer = uuid4(), f"g:{uuid4()}"
        wanted = log.sent[str(order_id)] = (item.pk, buyer, 1)
        try:
            flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=1)
        except (ClaimRefused, *LOST):
            continue
        log.acknowledged[str(order_id)] = wanted
        admitted += 1
    return admitted


def clean_up():
    for _ in range(3):
        tick()


def replace_script(monkeypatch, name, old, new):
    """Run another text under a script's name, as if it were the one we ship."""
    text = counters.SCRIPTS[name]
    assert text.count(old) == 1, "the control no longer fits the script"
    broken = text.replace(old, new)
    monkeypatch.setitem(counters.SCRIPTS, name, broken)
    monkeypatch.setitem(
        counters.SHAS, name, sha1(broken.encode(), usedforsecurity=False).hexdigest()
    )
    counters.client().script_load(broken)


@pytest.mark.parametrize("broken", [False, True])
def test_control_the_floor_is_not_checked(sale_redis, monkeypatch, broken):
    item = make_loaded_item(product=make_product(on_hand=10, safety_threshold=3))
    if broken:
        replace_script(
            monkeypatch, "claim", "if left - quantity < floor then", "if false then"
        )
    log = Log()

    admitted = sell(item, log, 15)
    clean_up()

    found = invariants.violations(log=log, only_claims=True)
    assert (admitted > 7) is broken
    assert bool(found) is broken, found


@pytest.mark.parametrize("broken", [False, True])
def test_control_a_limit_per_buyer_is_not_kept(sale_redis, monkeypatch, broken):
    item = make_loaded_item(limit=2)
    if broken:
        replace_script(
            monkeypatch,
            "claim",
            "if owned[buyer] + quantity > limit then",
            "if false then",
        )
    for _ in range(4):
        try:
            flash.claim(item.pk, order_id=uuid4(), buyer="g:alice", quantity=1)
        except ClaimRefused:
            break
    clean_up()

    found = invariants.violations(limit=2)
    assert bool(found) is broken, found


@pytest.mark.parametrize("broken", [False, True])
def test_control_the_units_of_a_release_are_not_given_back(
    sale_redis, monkeypatch, broken
):
    item = make_loaded_item()
    if broken:
        replace_script(
            monkeypatch,
            "release",
            'redis.call("HSET", KEYS[1], "seq", seq, "left", left, from, units,',
            'redis.call("HSET", KEYS[1], "seq", seq, from, units,',
        )
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer="g:alice", quantity=4)
    checkout.cancel(order_id)
    sync.drain(item.pk)

    found = invariants.violations()
    assert bool(found) is broken, found


def offset_first(item_id, batch):
    """A drain that commits its offset before what the events do."""
    with transaction.atomic():
        item = FlashSaleItem.objects.select_for_update().get(pk=item_id)
        waiting = counters.events(item_id, after=item.last_seq, limit=batch)
        if not waiting:
            return 0
        FlashSaleItem.objects.filter(pk=item_id).update(last_seq=waiting[-1].seq)
    with transaction.atomic():
        sync.record(item, [sync.parse(event) for event in waiting])
    return len(waiting)


def offset_last(item_id, batch):
    """A drain that commits what the events do before its offset."""
    with transaction.atomic():
        item = FlashSaleItem.objects.select_for_update().get(pk=item_id)
        before = item.last_seq
        waiting = counters.events(item_id, after=before, limit=batch)
        if not waiting:
            return 0
        sync.record(item, [sync.parse(event) for event in waiting])
        FlashSaleItem.objects.filter(pk=item_id).update(last_seq=before)
    with transaction.atomic():
        FlashSaleItem.objects.filter(pk=item_id).update(last_seq=waiting[-1].seq)
    return len(waiting)


@pytest.mark.parametrize("drain", [draining._drain_batch, offset_first, offset_last])
def test_control_the_offset_is_committed_on_its_own(sale_redis, monkeypatch, drain):
    monkeypatch.setattr(draining, "_drain_batch", drain)
    log = Log()
    for step in count(1):
        item = make_loaded_item()
        sell(item, log, 2)
        counters.disconnect()
        if not dies_at(step, lambda item=item: sync.drain(item.pk)):
            break
    clean_up()

    found = invariants.violations(log=log)
    assert bool(found) is (drain in (offset_first, offset_last)), found


def load_and_run(script, item_id, *args, fenced=True):
    """What a client does that loads scripts when they are missing."""
    connected = connections.ready()
    call = (4, *counters.keys(item_id), *args)
    try:
        return connected.evalsha(counters.SHAS[script], *call)
    except NoScriptError:
        return connected.eval(counters.SCRIPTS[script], *call)


@pytest.mark.parametrize("broken", [None, "scripts", "verification"])
def test_control_a_redis_that_came_back_old_is_believed(
    own_sale_redis, tmp_path, monkeypatch, settings, broken
):
    """With scripts that load themselves, or a recovery that does not look."""
    settings.SALE_REDIS_TIMEOUT_MS = 5000  # nobody waits here for a server
    item = make_loaded_item(units=10)
    log = Log()
    sell(item, log, 2)
    sync.drain(item.pk)
    files = own_sale_redis.directory / "appendonlydir"
    own_sale_redis.kill()
    shutil.copytree(files, tmp_path / "old")
    own_sale_redis.start()
    counters.disconnect()
    recovery.open_fence()
    sell(item, log, 5)
    sync.drain(item.pk)
    own_sale_redis.kill()
    shutil.rmtree(files)
    shutil.copytree(tmp_path / "old", files)
    own_sale_redis.start()
    counters.disconnect()
    if broken == "scripts":
        monkeypatch.setattr(scripts, "run", load_and_run)
    if broken == "verification":
        monkeypatch.setattr(doubts, "doubt", lambda item: "")
        recovery.open_fence()

    sell(item, log, 8)  # at once, before anybody has looked
    monkeypatch.undo()
    clean_up()
    sell(item, log, 8)
    clean_up()

    found = invariants.violations(log=log)
    oversold = len(log.acknowledged) > 10
    assert oversold is bool(broken)
    assert bool(found) is bool(broken), found
