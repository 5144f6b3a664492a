"""Workers and schedules as they run in production, doubled and killed at any moment."""

import os
import random
import threading
from statistics import median
from time import monotonic

import django_rq
import pytest

from sales import counters, jobs, sync
from sales.models import FlashSaleItem, Order
from tests.faults.load import make_sellable_item, shopping
from tests.faults.processes import running

pytestmark = [
    pytest.mark.redis,
    pytest.mark.long,
    pytest.mark.django_db(transaction=True),
]

WORKER = ("rqworker", "flash", "default", "--verbosity", "0")
# As in docker-compose.yml: the drain keeps the worker of its queue busy.
EACH_ITS_OWN = {
    "flash": ("rqworker", "flash", "--verbosity", "0"),
    "default": ("rqworker", "default", "--verbosity", "0"),
}
KILLS = 20 if os.environ.get("FAULTS") == "long" else 4
CRON = ("rqcron", "sales.cron")


@pytest.fixture
def item(own_sale_redis):
    django_rq.get_queue("flash").connection.flushdb()
    yield make_sellable_item(100_000)
    django_rq.get_queue("flash").connection.flushdb()


def wait_until(condition, seconds=40):
    stop = threading.Event()
    for _ in range(seconds * 20):
        if condition():
            return
        stop.wait(0.05)
    raise AssertionError(f"not within {seconds} s")


def is_caught_up():
    with counters.patience(10):
        return not sync.behind()


def recorded():
    return Order.objects.count()


def test_two_schedules_and_two_workers_do_everything_once(item, tmp_path, all_is_well):
    commands = {"one": WORKER, "two": WORKER, "cron": CRON, "cron-too": CRON}
    with running(tmp_path, **commands):
        with shopping(item, ticks=False, pace=0.005) as log:
            log.wait_for(200)
        wait_until(is_caught_up)

    all_is_well(log)
    assert FlashSaleItem.objects.get().epoch == 1


def test_a_worker_and_its_work_horse_are_killed_again_and_again(
    item, tmp_path, all_is_well, report
):
    chance = random.Random(7)
    stop = threading.Event()
    with (
        running(tmp_path, worker=WORKER) as processes,
        shopping(item, ticks=False, moves=False, pace=0.02) as log,
    ):
        worker = processes["worker"]
        for kill in ["horse", "worker"] * (KILLS // 2):
            jobs.drain_items.delay()  # as the schedule does; nobody else drains
            before = recorded()
            log.wait_for(10)
            wait_until(lambda before=before: recorded() > before)
            stop.wait(chance.random() / 4)  # at any moment of its work
            horse = worker.horse()
            if kill == "horse" and horse is not None:
                horse.kill()
            else:
                worker.kill()
                worker.start()

    all_is_well(log)
    assert FlashSaleItem.objects.get().epoch == 1
    report(f"{KILLS} kills; each of {len(log.acknowledged)} claims recorded once")


def test_a_worker_lets_the_sale_go_on_after_redis_was_killed(
    item, own_sale_redis, tmp_path, all_is_well, report
):
    """The first shopper who is refused asks for recovery, as the web server does."""
    outages = []
    pause = threading.Event()
    ask = {"ticks": False, "pace": 0.02, "refused": jobs.start_recovery}
    with (
        running(tmp_path, cron=CRON, **EACH_ITS_OWN),
        shopping(item, **ask) as log,
    ):
        wait_until(recorded)  # the workers have started
        for _ in range(KILLS):
            pause.wait(2)  # it is asked for at most every two seconds
            own_sale_redis.kill()
            killed = monotonic()
            own_sale_redis.start()
            log.wait_for(1)
            outages.append(monotonic() - killed)

    all_is_well(log)
    report(
        f"{KILLS} kills of Redis; from the kill to the next claim "
        f"{median(outages):.1f} s (median), {max(outages):.1f} s (longest)"
    )


def test_nothing_runs_for_a_while_and_then_everything_is_caught_up(
    item, tmp_path, all_is_well
):
    with shopping(item, ticks=False, moves=False, pace=0.005) as log:
        log.wait_for(300)
    assert recorded() == 0

    with running(tmp_path, worker=WORKER, cron=CRON):
        wait_until(is_caught_up)

    assert recorded() >= len(log.acknowledged)
    all_is_well(log)
