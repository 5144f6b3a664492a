"""Shoppers who claim, pay, cancel and write down what they were told."""

import random
import threading
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import monotonic
from uuid import UUID

import psycopg2
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection
from django.utils import timezone

from sales import checkout, counters, flash, orders, recovery, sync
from sales.counters import ClaimRefused, NotLoaded, Unsure
from sales.models import FlashSaleItem, ItemState, Order
from sales.orders import NotPossible
from tests.factories import make_loaded_item, make_product

# The driver's own error comes out where Django closes a cursor in a lost server.
LOST = (NotLoaded, Unsure, DatabaseError, psycopg2.Error)


def make_sellable_item(units=20_000, floor=0, **fields):
    """A loaded item with many units, also on a busy machine."""
    product = make_product(on_hand=units, safety_threshold=floor)
    with counters.patience(10):
        return make_loaded_item(product=product, limit=50, **fields)


class Log:
    """What the clients asked for and what they were told, in their own memory."""

    def __init__(self):
        self.sent = {}
        self.acknowledged = {}
        self.paid = set()
        self.cancelled = set()
        self.held_again = set()
        self.refusals = set()
        self.errors = []
        self._changed = threading.Condition()

    def note(self, book, *entry):
        with self._changed:
            if isinstance(book, dict):
                book[entry[0]] = entry[1]
            else:
                book.add(entry[0])
            self._changed.notify_all()

    def wait_for(self, number, seconds=60):
        """Return when `number` more claims than now are acknowledged."""
        with self._changed:
            wanted = len(self.acknowledged) + number
            arrived = self._changed.wait_for(
                lambda: len(self.acknowledged) >= wanted, timeout=seconds
            )
        assert arrived, f"{len(self.acknowledged)} claims, not {wanted}: {self.errors}"

    def wait_for_refusal(self, code, seconds=60):
        with self._changed:
            assert self._changed.wait_for(lambda: code in self.refusals, seconds)


class Shopper:
    """One client in a thread: claims an item again and again, and moves its orders."""

    def __init__(self, log, items, seed, *, quantity=2, moves=True, refused=None):
        self.log, self.items, self.moves = log, items, moves
        self.refused = refused or (lambda: None)
        self.random = random.Random(seed)
        self.quantity = quantity
        self.name = f"g:{seed}"
        self.open = []

    def step(self):
        roll = self.random.random()
        if self.open and self.moves and roll < 0.5:
            self.move(self.open.pop(self.random.randrange(len(self.open))))
        else:
            self.claim()

    def claim(self):
        item_id = self.random.choice(self.items)
        quantity = self.random.randint(1, self.quantity)
        order_id = UUID(int=self.random.getrandbits(128), version=4)
        # A buyer of its own now and then, so that limits do not end the test.
        buyer = f"{self.name}.{self.random.randrange(10**6)}"
        wanted = (item_id, buyer, quantity)
        self.log.note(self.log.sent, str(order_id), wanted)
        for _ in range(3):  # asks again by the same id, as a client does
            try:
                flash.claim(item_id, order_id=order_id, buyer=buyer, quantity=quantity)
            except ClaimRefused as refused:
                self.log.note(self.log.refusals, refused.code)
                return
            except Unsure:
                continue
            except NotLoaded:
                self.log.note(self.log.refusals, "not_loaded")
                self.refused()
                return
            self.log.note(self.log.acknowledged, str(order_id), wanted)
            self.open.append(order_id)
            return

    def move(self, order_id):
        outcome = self.random.choice(["paid", "paid", "declined", "cancel", "leave"])
        if outcome == "leave":
            return
        with suppress(NotPossible, Order.DoesNotExist, ClaimRefused):
            if outcome == "cancel":
                checkout.cancel(order_id)
            else:
                self.pay(order_id, outcome)
            if outcome in ("cancel", "declined") and self.random.random() < 0.5:
                self.hold_again(order_id)
            elif outcome == "cancel":
                self.log.note(self.log.cancelled, str(order_id))

    def pay(self, order_id, outcome):
        payment = checkout.begin_payment(order_id)
        payment = checkout.finish(payment.pk, outcome)
        if payment.state == "paid" and payment.handled_at:
            self.log.note(self.log.paid, str(order_id))

    def hold_again(self, order_id):
        if checkout.claim_again(order_id).state == "held":
            self.log.note(self.log.held_again, str(order_id))


@contextmanager
def shopping(*items, shoppers=4, ticks=True, log=None, pace=0, **how):
    """Run shoppers, and the jobs that a worker would run, beside the block.

    Gives the log. At the end all threads have stopped; then call `settle_down`. With
    `pace` each shopper waits so many seconds between two steps; `refused` is called
    when a claim finds a Redis that is not verified.
    """
    log = log or Log()
    stop = threading.Event()
    ids = [item.pk for item in items]
    steps = [Shopper(log, ids, seed, **how).step for seed in range(shoppers)]
    if ticks:
        steps.append(tick)
    threads = [
        threading.Thread(target=_repeat, args=(step, stop, log, pace)) for step in steps
    ]
    for thread in threads:
        thread.start()
    try:
        yield log
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not log.errors, log.errors[:3]


def _repeat(step, stop, log, pace):
    try:
        while not stop.is_set():
            try:
                step()
                stop.wait(pace)
            except LOST:
                close_old_connections()
                stop.wait(0.01)  # not a busy loop while a server is away
            except Exception as error:
                log.errors.append(repr(error))
                raise
    finally:
        counters.disconnect()
        connection.close()


def insist(step, seconds=60):
    """Repeat a step until it is answered, as a shopper does with a page."""
    deadline = monotonic() + seconds
    while True:
        try:
            return step()
        except (NotPossible, *LOST):  # "please try again in a moment"
            assert monotonic() < deadline
            close_old_connections()
            threading.Event().wait(0.02)


def ask(command, *arguments):
    """Send the sale Redis a command that no client of ours would."""
    counters.disconnect()  # it may have been restarted since
    with counters.patience(5):
        return counters.client().execute_command(command, *arguments)


def tick(now=None):
    """One round of what the jobs do; each part as if it ran alone."""
    now = now or timezone.now()
    for part in (
        recovery.heal,
        drain_all,
        flash.advance,
        lambda: checkout.expire_due(now),
        lambda: orders.expire_due(now),
        lambda: checkout.follow_payments(now),
    ):
        try:
            part()
        except LOST:
            close_old_connections()


def drain_all():
    return sum(
        sync.drain(item_id, budget=timedelta(seconds=2))
        for item_id in sync.loaded_items()
    )


def settle_down(seconds=60):
    """Tick until nothing waits and no item is in doubt."""
    counters.disconnect()
    close_old_connections()
    deadline = monotonic() + seconds
    while True:
        tick()
        if is_quiet():
            return
        assert monotonic() < deadline, list(
            FlashSaleItem.objects.values_list("pk", "state", "doubt", "last_seq")
        )


def is_quiet():
    try:
        for item in FlashSaleItem.objects.filter(pk__in=sync.loaded_items()):
            if item.state not in (ItemState.LOADED, ItemState.PAUSED):
                return False
            s = counters.snapshot(item.pk)
            if s.seq != item.last_seq or s.state in ("frozen", "recovering"):
                return False
            if not counters.has_scripts(item.pk):
                return False
    except LOST:
        return False
    return True
