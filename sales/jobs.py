"""RQ jobs: a tick each. The rows they look at are the guarantee, not the queue.

Every job is safe to repeat and to run twice at once; a job that dies is made good by
the next tick.
"""

import logging
import time
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.utils import timezone
from django_rq import get_queue, job
from rq import Worker
from rq.cron import CronScheduler

from catalog import alerts, import_runs, outbox, restock
from sales import (
    adjustments,
    alarms,
    answers,
    audit,
    carts,
    checkout,
    demand,
    flash,
    mails,
    notices,
    orders,
    recovery,
    sync,
    tags,
    tokens,
    waiting_list,
)
from sales.counters import NotLoaded, Unsure
from sales.models import Verdict

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 20
PAUSE_SECONDS = 0.1
TAG_SECONDS = 1
LINE_SECONDS = 0.5
NEEDED_BY_SALES = ("flash", "default")
NOTICES_CAME = "notices-came"


@job("flash", timeout=60, ttl=30, result_ttl=0)
def drain_items(seconds: float = DRAIN_SECONDS) -> int:
    """Bring all waiting events into PostgreSQL for a while; return how many.

    A bounded loop over the loaded items, so the lag stays below a second while events
    flow. Beside it, price tags are written and waiting lists served. One item's failure
    is logged and leaves the others alone.
    """
    deadline = time.monotonic() + seconds
    tags_due = lines_due = 0.0
    drained = 0
    while time.monotonic() < deadline:
        try:
            drained += sum(_drain(item_id) for item_id in sync.behind())
        except (NotLoaded, Unsure) as error:
            logger.warning("the drain waits for Redis: %s", error)
            start_recovery()
            time.sleep(1)
        except DatabaseError as error:
            logger.warning("the drain waits for PostgreSQL: %s", error)
            close_old_connections()
            time.sleep(1)
        if time.monotonic() >= tags_due:
            _write_tags()
            tags_due = time.monotonic() + TAG_SECONDS
        if time.monotonic() >= lines_due:
            _serve_lines()
            lines_due = time.monotonic() + LINE_SECONDS
        time.sleep(PAUSE_SECONDS)
    if drained:
        logger.info("drained %s events", drained)
    return drained


def _drain(item_id: int) -> int:
    try:
        return sync.drain(item_id, budget=timedelta(seconds=2))
    except (NotLoaded, Unsure):
        raise
    except Exception:
        logger.exception("flash item %s: drain failed", item_id)
        return 0


def _write_tags() -> None:
    """Show new prices and ending holds; a cache that is away stops no drain."""
    try:
        tags.write()
    except Exception:
        logger.exception("the price tags are not written")


def _serve_lines() -> None:
    """Offer what has come back to those in line; what fails waits for the next tick."""
    try:
        waiting_list.serve(timezone.now())
    except (NotLoaded, Unsure) as error:
        logger.warning("the waiting lists wait for Redis: %s", error)
    except Exception:
        logger.exception("the waiting lists are not served")


@job("default", timeout=120, ttl=60, result_ttl=0)
def preload_due() -> int:
    """Preload what opens soon, then open the fence; return how many items."""
    outcomes = flash.preload_due()
    recovery.open_fence()
    for outcome in outcomes:
        if outcome.error:
            logger.error("%s cannot be preloaded: %s", outcome.sku, outcome.error)
    return len(outcomes)


@job("default", timeout=120, ttl=30, result_ttl=0)
def advance_sales() -> list[str]:
    """Let sales become live, ended and settled with the clock."""
    said = flash.advance()
    adjustments.send_waiting()
    for sentence in said:
        logger.info(sentence)
    return said


@job("default", timeout=120, ttl=30, result_ttl=0)
def expire_holds() -> int:
    """Release holds that have ended, in both channels; return how many."""
    now = timezone.now()
    return orders.expire_due(now) + checkout.expire_due(now)


@job("default", timeout=120, ttl=30, result_ttl=0)
def follow_payments() -> int:
    """Finish payments that a crash or a lost Redis left half done."""
    return checkout.follow_payments(timezone.now())


@job("default", timeout=120, ttl=30, result_ttl=0)
def handle_notices() -> int:
    """Do what payment providers told us; return how many notifications."""
    get_queue("default").connection.delete(NOTICES_CAME)  # first: later ones ask again
    return notices.handle_due(timezone.now())


@job("default", timeout=300, ttl=30, result_ttl=0)
def recover() -> int:
    """Look for lost or doubtful counters and heal them; return how many items."""
    try:
        return len(recovery.heal())
    except (NotLoaded, Unsure) as error:
        logger.warning("recovery waits for Redis: %s", error)
        return 0


@job("default", timeout=300, ttl=60, result_ttl=0)
def audit_stock() -> str:
    """Check the invariants, pause what violates one, and store the verdict.

    Every tenth minute with all events of every item, else only of the small ones. Where
    only Redis is wrong, it is rebuilt, and the item goes on.
    """
    run = audit.run(deep=timezone.now().minute % 10 == 0 or None)
    for item_id, doubt in audit.to_rebuild(run).items():
        try:
            recovery.recover(item_id, doubt=doubt)
        except (NotLoaded, Unsure) as error:
            logger.warning("flash item %s waits for recovery: %s", item_id, error)
    if run.verdict != Verdict.HOLDS:
        logger.warning("audit: %s", run.get_verdict_display())
    return str(run.verdict)


@job("imports", timeout=1800, ttl=10, result_ttl=0)
def work_imports() -> int:
    """Read and carry out the imports of long files; return how many were taken."""
    return import_runs.work(timezone.now())


@job("default", timeout=60, ttl=30, result_ttl=0)
def fold_demand() -> int:
    """Store how many claims were made and refused; return how many minutes."""
    return demand.fold(timezone.now())


@job("default", timeout=600, ttl=600, result_ttl=0)
def expire_carts() -> int:
    """Delete carts nobody came back to."""
    return carts.expire(timezone.now())


@job("default", timeout=600, ttl=600, result_ttl=0)
def forget_old() -> int:
    """Delete what is of no use any more: first answers, tokens, imports, old lines."""
    now = timezone.now()
    old = answers.delete_old(now) + tokens.delete_old(now)
    return old + import_runs.forget_old(now) + waiting_list.forget_old(now)


@job("default", timeout=300, ttl=30, result_ttl=0)
def send_notices() -> int:
    """Raise alerts from status changes, mail them, call webhooks; return how many."""
    now = timezone.now()
    alerts.read_status_changes()
    alarms.sound(now)
    return alerts.send_mails(now) + outbox.deliver_due(now)


@job("default", timeout=300, ttl=30, result_ttl=0)
def send_mails() -> int:
    """Mail shoppers of their orders, of what is back, of lines that have ended.

    Returns how many mails.
    """
    now = timezone.now()
    sent = mails.send_due(now) + restock.send_due(now)
    return sent + waiting_list.tell_ended(now)


@job("default", timeout=600, ttl=600, result_ttl=0)
def look_for_long_outs() -> int:
    """Raise alerts for products that stay out of stock, and drop old outbox rows."""
    now = timezone.now()
    outbox.forget_old(now)
    return alerts.look_for_long_outs(now)


def start_recovery() -> None:
    """Ask for recovery before all other jobs, unless somebody did seconds ago.

    If the queue's server is away as well, the next tick recovers.
    """
    try:
        queue = get_queue("default")
        if queue.connection.set("recovery-asked", 1, nx=True, ex=2):
            queue.enqueue(recover, job_timeout=300, ttl=30, result_ttl=0, at_front=True)
    except Exception:
        logger.exception("recovery could not be asked for")


def start_handling() -> None:
    """Have stored notifications handled now; if that fails, the next tick does it.

    One job serves all that come before it starts.
    """
    try:
        queue = get_queue("default")
        if queue.connection.set(NOTICES_CAME, 1, nx=True, ex=30):
            queue.enqueue(handle_notices, job_timeout=120, ttl=30, result_ttl=0)
    except Exception:
        logger.exception("notifications wait for the next tick")


@dataclass(frozen=True, slots=True)
class QueueNow:
    """A queue as the dashboard shows it."""

    name: str
    waiting: int
    failed: int
    workers: int


def queues() -> list[QueueNow]:
    """How many jobs wait or have failed in each queue, and who works on it."""
    found = []
    for name, count in workers().items():
        queue = get_queue(name)
        failed = queue.failed_job_registry.count
        found.append(QueueNow(name, queue.count, failed, count))
    return found


def workers() -> dict[str, int]:
    """How many workers listen to each queue; who was killed counts for two minutes."""
    alive = Worker.all(connection=get_queue("default").connection)
    return {
        name: sum(name in worker.queue_names() for worker in alive)
        for name in settings.RQ_QUEUES
    }


def queues_if_known() -> list[QueueNow] | None:
    """The queues; None while their server does not answer."""
    try:
        return queues()
    except Exception as error:  # whatever the queue's server does
        logger.warning("the queues are not known: %s", error)
        return None


def schedules() -> int:
    """How many cron processes feed the queues; one is right."""
    return len(CronScheduler.all(get_queue("default").connection, cleanup=True))
