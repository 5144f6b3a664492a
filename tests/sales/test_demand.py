import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from sales import checkout, counters, demand, flash
from sales.counters import ClaimRefused, NotLoaded
from sales.demand import Count
from sales.models import ClaimAnswer, ClaimCount
from tests.factories import make_item, make_loaded_item, make_product
from tests.threads import run_at_once

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.redis,
    pytest.mark.usefixtures("sale_redis"),
]

NOON = datetime(2026, 12, 12, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)


def note(item, answer="sold_out", *, units=1, at=NOON):
    demand.note(item.pk, answer, units=units, now=at.timestamp())


def now_of(item, now=NOON):
    return demand.of_items([item.pk], now=now)[item.pk]


def stored():
    rows = ClaimCount.objects.values_list("answer", "claims", "units")
    return sorted(rows)


def claim(item, quantity=1, order_id=None, buyer="g:1"):
    return flash.claim(
        item.pk, order_id=order_id or uuid4(), buyer=buyer, quantity=quantity
    )


def test_each_answer_to_a_claim_is_counted():
    item = make_loaded_item(product=make_product(on_hand=3), units=3, limit=2)
    claim(item, 2)
    with pytest.raises(ClaimRefused, match="limit_reached"):
        claim(item, 1)
    with pytest.raises(ClaimRefused, match="all_held"):
        claim(item, 2, buyer="g:2")

    found = now_of(item, timezone.now())

    assert found.answers == {
        "admitted": Count(1, 2),
        "limit_reached": Count(1, 1),
        "all_held": Count(1, 2),
    }
    assert (found.claims, found.admitted, found.refused) == (3, 1, 2)
    assert (found.unmet, found.over_limit) == (2, 1)


def test_holding_again_is_counted_like_a_claim():
    item = make_loaded_item(product=make_product(on_hand=2), units=2)
    order_id = uuid4()
    claim(item, 2, order_id=order_id)
    checkout.cancel(order_id)

    checkout.claim_again(order_id)
    checkout.claim_again(order_id)  # holds already
    checkout.cancel(order_id)
    claim(item, 1, buyer="g:2")
    with pytest.raises(ClaimRefused):
        checkout.claim_again(order_id)

    assert now_of(item, timezone.now()).answers == {
        "admitted": Count(3, 5),
        "all_held": Count(1, 2),
    }


def test_another_quantity_that_cannot_be_had_is_counted():
    item = make_loaded_item(product=make_product(on_hand=3), units=3, limit=3)
    old_id = uuid4()
    claim(item, order_id=old_id)
    claim(item, 1, buyer="g:2")
    counters.keep_for_line(item.pk, epoch=1, units=2)

    for quantity in (4, 2):
        with pytest.raises(checkout.NotChanged):
            checkout.change_claim(
                item.pk, old_id, order_id=uuid4(), buyer="g:1", quantity=quantity
            )

    assert now_of(item, timezone.now()).answers == {
        "admitted": Count(2, 2),
        "limit_reached": Count(1, 4),
        "all_held": Count(1, 2),
    }


def test_a_repeat_is_no_new_wish():
    item = make_loaded_item(units=3)
    order_id = uuid4()

    claim(item, order_id=order_id)
    claim(item, order_id=order_id)

    assert now_of(item, timezone.now()).claims == 1


def test_claims_nobody_could_decide_are_counted():
    item = make_loaded_item(units=3)
    counters.flush_scripts()

    with pytest.raises(NotLoaded):
        claim(item)

    assert now_of(item, timezone.now()).answers == {"not_loaded": Count(1, 1)}


def test_counting_needs_no_query(django_assert_num_queries):
    item = make_loaded_item(units=1)
    claim(item)  # learns the item's epoch

    with django_assert_num_queries(0), pytest.raises(ClaimRefused):
        claim(item, buyer="g:2")


def test_a_queue_server_that_is_away_disturbs_no_claim(settings):
    item = make_loaded_item(units=3)
    settings.QUEUE_REDIS_URL = "unix:///nowhere/redis.sock"

    claim(item)
    with pytest.raises(ClaimRefused, match=r"sold_out|all_held"):
        claim(item, 3)

    assert now_of(item, timezone.now()).per_second is None


def test_a_claim_asks_no_other_server_to_be_counted(monkeypatch):
    item = make_loaded_item(units=1)
    monkeypatch.setattr(demand, "_client", None)
    monkeypatch.setattr(demand, "_send_quietly", lambda: None)

    claim(item)

    monkeypatch.undo()
    assert now_of(item, timezone.now()).admitted == 1


def test_counts_are_sent_by_themselves_and_once(queue_redis, monkeypatch):
    key = demand._key(demand._minute_of(NOON))
    arrived = threading.Event()
    true_send = demand.send

    def send():
        true_send()
        if queue_redis.exists(key):  # a thread of an earlier test brings nothing
            arrived.set()

    monkeypatch.setattr(demand, "DELAY", 0)
    monkeypatch.setattr(demand, "send", send)
    item = make_item()

    note(item, units=3)
    assert arrived.wait(60)
    true_send()

    assert queue_redis.hgetall(key) == {
        f"{item.pk}:sold_out:0:claims": "1",
        f"{item.pk}:sold_out:0:units": "3",
    }


def test_many_threads_lose_no_count():
    item = make_item()

    run_at_once(lambda _: [note(item) for _ in range(200)], range(8))

    assert now_of(item).answers == {"sold_out": Count(1600, 1600)}


ENDING = """
import django
django.setup()
from sales import demand
demand.note(7, "admitted", units=1)
"""


def test_a_process_that_ends_sends_what_it_has_counted():
    done = subprocess.run(
        [sys.executable, "-c", ENDING],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "QUEUE_REDIS_URL": settings.QUEUE_REDIS_URL,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    counted = demand._parts(demand._minutes())
    assert [(key[0], n.claims) for key, n in counted.items()] == [(7, 1)]


def test_a_child_process_does_not_send_what_its_parent_counted():
    item = make_item()
    note(item)

    child = os.fork()
    if child == 0:
        os._exit(len(demand._pending))
    _pid, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert now_of(item).claims == 1


def test_a_minute_is_stored_once_it_is_over():
    item = make_item()
    note(item, units=2)
    note(item, units=3, at=NOON + timedelta(seconds=59))

    assert demand.fold(NOON + timedelta(seconds=59)) == 0
    assert stored() == []
    demand.fold(LATER)

    assert stored() == [("sold_out", 2, 5)]


def test_folding_again_changes_nothing():
    item = make_item()
    note(item)

    for minute in range(1, 30):
        demand.fold(NOON + timedelta(minutes=minute))

    assert stored() == [("sold_out", 1, 1)]


@pytest.mark.django_db(transaction=True)
def test_two_workers_store_a_minute_once():
    item = make_item()
    for answer in ("sold_out", "all_held", "paused"):
        note(item, answer)

    run_at_once(lambda _: demand.fold(LATER), range(4))

    assert stored() == [("all_held", 1, 1), ("paused", 1, 1), ("sold_out", 1, 1)]


def test_a_late_claim_is_added_to_its_minute():
    item = make_item()
    note(item)
    demand.fold(LATER)
    note(item)

    demand.fold(LATER + timedelta(minutes=1))

    assert stored() == [("sold_out", 2, 2)]


def test_what_is_stored_is_dropped_after_a_while(queue_redis):
    item = make_item()
    note(item)

    demand.fold(LATER)
    assert queue_redis.exists(demand._key(demand._minute_of(NOON)))
    demand.fold(NOON + demand.KEPT + timedelta(minutes=1))

    assert not queue_redis.exists(demand._key(demand._minute_of(NOON)))
    assert not queue_redis.exists(demand.MINUTES)
    assert stored() == [("sold_out", 1, 1)]


def test_a_lost_queue_server_takes_nothing_that_is_stored(queue_redis):
    item = make_item()
    note(item, units=5)
    demand.fold(LATER)
    queue_redis.delete(demand._key(demand._minute_of(NOON)))
    note(item, units=1)
    demand.send()

    demand.fold(LATER)

    assert stored() == [("sold_out", 1, 5)]


def test_counts_of_an_item_that_is_gone_stop_nothing():
    item = make_item()
    demand.note(item.pk + 1000, "sold_out", units=1, now=NOON.timestamp())
    note(item)

    demand.fold(LATER)

    assert stored() == [("sold_out", 1, 1)]


def test_live_figures_count_each_claim_once_whether_stored_or_not():
    item = make_item()
    note(item)
    note(item, at=LATER)
    expected = {"sold_out": Count(2, 2)}
    assert now_of(item, LATER).answers == expected

    for minutes in (1, 2, 30):
        demand.fold(NOON + timedelta(minutes=minutes))
        assert now_of(item, LATER).answers == expected


def test_the_rate_is_of_the_last_seconds():
    item = make_item()
    for _ in range(30):
        note(item, at=NOON + timedelta(seconds=12))
    note(item, at=NOON)

    assert now_of(item, NOON + timedelta(seconds=15)).per_second == 31 / 15
    assert now_of(item, NOON + timedelta(seconds=20)).per_second == 3
    assert now_of(item, NOON + timedelta(seconds=45)).per_second == 0


def test_the_busiest_minute_counts_all_answers():
    item = make_item()
    for at, answer in ((NOON, "sold_out"), (NOON, "admitted"), (LATER, "sold_out")):
        note(item, answer, at=at)
    demand.fold(LATER + timedelta(minutes=1))

    assert demand.busiest_minutes([item.pk]) == {item.pk: 2}


def test_every_refusal_of_the_script_has_a_word_for_people():
    codes = {counters.REFUSALS[code] for code in counters.REFUSALS}

    assert codes <= set(ClaimAnswer.values)
