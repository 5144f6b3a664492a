"""A crash between any two lines: of the drain, a preload, a recovery, a settlement ...

Each operation is killed at its first step, at its second, and so on, each time on an
item of its own, until it comes to its end. Then the others clean up. A short run takes
every fourth step; FAULTS=long takes all of them, and loses every key.
"""

import os
from contextlib import suppress
from itertools import count
from uuid import uuid4

import pytest

from catalog import stock, thresholds
from catalog.models import Stock
from sales import adjustments, checkout, counters, flash, orders, recovery, sync
from sales.models import FlashSale, FlashSaleItem, ItemState, Order, Payment
from tests.factories import make_item, make_loaded_item, make_product
from tests.faults.crash import dies_at
from tests.faults.load import Log, settle_down

pytestmark = [
    pytest.mark.redis,
    pytest.mark.long,
    pytest.mark.django_db(transaction=True),
]

UNITS, FLOOR = 20, 3
LONG = os.environ.get("FAULTS") == "long"
STRIDE = 1 if LONG else 4


class Sold:
    """An item with orders in every state, in Redis and partly in PostgreSQL."""

    def __init__(self, log, *, drained=True, units=UNITS):
        product = make_product(on_hand=units, safety_threshold=FLOOR)
        self.log = log
        self.item = make_loaded_item(product=product)
        self.held = self.claim(1)
        self.waiting = self.claim(2)
        self.paid = self.claim(2)
        self.payment = checkout.begin_payment(self.waiting)  # drains
        checkout.finish(checkout.begin_payment(self.paid).pk, "paid")
        self.log.paid.add(str(self.paid))
        self.cancelled = self.claim(1)
        checkout.cancel(self.cancelled)
        if drained:
            sync.drain(self.item.pk)
        else:
            self.late = self.claim(1)

    def claim(self, quantity):
        order_id, buyer = uuid4(), f"g:{uuid4()}"
        wanted = (self.item.pk, buyer, quantity)
        self.log.sent[str(order_id)] = self.log.acknowledged[str(order_id)] = wanted
        flash.claim(self.item.pk, order_id=order_id, buyer=buyer, quantity=quantity)
        return order_id

    def state_of(self, order_id):
        return Order.objects.get(claim_id=order_id).state


@pytest.fixture
def killed_everywhere(sale_redis, all_is_well, settings, report):
    """Kill an operation at each of its steps, then assert that all is well.

    `prepare` makes what one run works on, `operation` is what is killed, and `again`
    what a caller who got no answer does: the same once more.
    """
    log = Log()
    settings.SALE_REDIS_TIMEOUT_MS = 5000  # a slow machine is not what is tested here

    def run(prepare, operation, *, again=None, least=10):
        prepared = []
        for step in count(1, STRIDE):
            subject = prepare(log)
            prepared.append(subject)
            counters.disconnect()
            if not dies_at(step, lambda subject=subject: operation(subject)):
                break
        settle_down()
        for subject in prepared:
            (again or operation)(subject)
        all_is_well(log)
        assert step > least, f"only {step} steps"
        report(f"killed at {len(prepared) - 1} moments, one by one; all put right")
        return prepared

    return run


def test_the_drain(killed_everywhere):
    prepared = killed_everywhere(
        lambda log: Sold(log, drained=False), lambda sold: sync.drain(sold.item.pk)
    )

    for sold in prepared:
        sold.item.refresh_from_db()
        item = sold.item
        assert (item.left, item.held, item.paying, item.paid) == (14, 2, 2, 2)
        assert item.poison_events == 0


def test_preload_and_open(killed_everywhere):
    def load(item):
        flash.preload(item.sale_id)
        recovery.open_fence()

    prepared = killed_everywhere(
        lambda log: make_item(product=make_product(on_hand=UNITS)), load
    )

    for item in prepared:
        s = counters.snapshot(item.pk)
        assert (s.units, s.left, s.state) == (UNITS, UNITS, "open")
        assert Stock.objects.get(pk=item.product_id).allocated == UNITS


@pytest.mark.parametrize(
    "lost", [*counters.PARTS, "all"] if LONG else ["claims", "all"]
)
def test_recovery_of_an_item_with_a_lost_key(killed_everywhere, sale_redis, lost):
    def prepare(log):
        sold = Sold(log, drained=False)
        keys = counters.keys(sold.item.pk)
        sale_redis.delete(
            *(key for key in keys if lost == "all" or key.endswith(f":{lost}"))
        )
        return sold

    prepared = killed_everywhere(prepare, lambda sold: recovery.recover(sold.item.pk))

    for sold in prepared:
        sold.item.refresh_from_db()
        assert sold.item.epoch == 2
        assert sold.state_of(sold.held) == "held"
        assert sold.state_of(sold.waiting) == "paying"
        assert sold.state_of(sold.paid) == "paid"
        assert sold.state_of(sold.cancelled) == "cancelled"
        assert sold.state_of(sold.late) == "held"
        s = counters.snapshot(sold.item.pk)
        assert (s.left, s.held, s.paying, s.paid) == (14, 2, 2, 2)


def test_recovery_of_a_whole_item_behind_a_closed_fence(killed_everywhere, sale_redis):
    made = []

    def prepare(log):
        if not made:  # one for all: the more items, the more steps
            made.append(Sold(log))
        recovery.open_fence()
        checkout.cancel(made[0].claim(1))
        sale_redis.script_flush()
        return made[0]

    prepared = killed_everywhere(prepare, lambda sold: recovery.open_fence())

    for sold in prepared:
        sold.item.refresh_from_db()
        assert sold.item.epoch == 1


def test_the_settlement(killed_everywhere):
    def prepare(log):
        sold = Sold(log)
        checkout.finish(sold.payment.pk, "paid")
        log.paid.add(str(sold.waiting))
        checkout.cancel(sold.held)
        flash.end(sold.item.sale_id)
        return sold

    prepared = killed_everywhere(prepare, lambda sold: flash.settle(sold.item.sale_id))

    for sold in prepared:
        sold.item.refresh_from_db()
        assert (sold.item.state, sold.item.paid) == (ItemState.SETTLED, 4)
        row = Stock.objects.get(pk=sold.item.product_id)
        assert (row.on_hand, row.reserved, row.allocated) == (UNITS - 4, 0, 0)
        sale = FlashSale.objects.get(pk=sold.item.sale_id)
        assert sale.state == FlashSale.State.SETTLED


@pytest.mark.parametrize(
    ("outcome", "state"), [("paid", "paid"), ("declined", "cancelled")]
)
def test_the_word_of_the_provider(killed_everywhere, outcome, state):
    prepared = killed_everywhere(
        Sold, lambda sold: checkout.finish(sold.payment.pk, outcome)
    )

    for sold in prepared:
        assert sold.state_of(sold.waiting) == state
        payment = Payment.objects.get(pk=sold.payment.pk)
        assert (payment.state, bool(payment.handled_at)) == (outcome, True)


@pytest.fixture
def late_claims():
    """A new claim of one item, still in the stream, for each step.

    The steps would become more with each item: an order that is not recorded is looked
    for in all of them.
    """
    made = []

    def prepare(log):
        if not made:
            made.append(Sold(log, units=500))
        return made[0], made[0].claim(1)

    return prepare


def test_the_beginning_of_a_payment(killed_everywhere, late_claims):
    prepared = killed_everywhere(
        late_claims, lambda late: checkout.begin_payment(late[1])
    )

    for sold, order_id in prepared:
        assert Payment.objects.filter(order__claim_id=order_id).count() == 1
        assert counters.find(sold.item.pk, order_id).state == "paying"


def test_a_cancellation(killed_everywhere, late_claims):
    prepared = killed_everywhere(
        late_claims, lambda late: checkout.cancel(late[1]), least=5
    )

    for sold, order_id in prepared:
        assert sold.state_of(order_id) == "cancelled"


@pytest.mark.parametrize("restock", [True, False])
def test_a_refund(killed_everywhere, restock):
    prepared = killed_everywhere(
        Sold, lambda sold: checkout.refund(sold.paid, restock=restock)
    )

    for sold in prepared:
        assert sold.state_of(sold.paid) == "refunded"
        (payment,) = Payment.objects.filter(order__claim_id=sold.paid)
        assert (payment.state, bool(payment.handled_at)) == ("refunded", True)
        row = Stock.objects.get(pk=sold.item.product_id)
        assert row.on_hand == (UNITS if restock else UNITS - 2)


@pytest.mark.parametrize("delta", [5, -5])
def test_a_change_of_units(killed_everywhere, delta):
    def prepare(log):
        sold = Sold(log)
        stock_of(sold.item, 10)
        return sold

    def change(sold):
        if not sold.item.adjustments.exists():
            adjustments.change_units(sold.item.pk, delta)

    def again(sold):
        change(sold)
        adjustments.send_waiting()

    prepared = killed_everywhere(prepare, change, again=again)

    for sold in prepared:
        assert counters.snapshot(sold.item.pk).units == UNITS + delta


def stock_of(item, more):
    """Put more units on the shelf, beside those of the sale."""
    stock.receive(item.product_id, more, note=stock.Note(cause="test"))


def test_a_change_of_the_threshold(killed_everywhere):
    def change(sold):
        levels = thresholds.Levels(safety_threshold=7)
        thresholds.change({sold.item.product_id: levels})

    prepared = killed_everywhere(Sold, change)

    for sold in prepared:
        assert counters.snapshot(sold.item.pk).floor == 7


@pytest.mark.parametrize("step", [flash.pause, flash.end])
def test_pause_and_end(killed_everywhere, step):
    prepared = killed_everywhere(Sold, lambda sold: step(sold.item.sale_id))

    for sold in prepared:
        assert FlashSaleItem.objects.get(pk=sold.item.pk).sale.state in (
            "paused",
            "ended",
        )
        word = {flash.pause: "paused", flash.end: "ended"}[step]
        assert counters.snapshot(sold.item.pk).state == word


def test_a_regular_order_is_placed_paid_and_expired(killed_everywhere):
    def prepare(log):
        return make_product(on_hand=UNITS), uuid4()

    def place_and_pay(subject):
        product, order_id = subject
        contact = orders.Contact(email="a@example.com")
        orders.place(order_id, [(product.pk, 3)], contact=contact)
        checkout.finish(checkout.begin_payment(order_id).pk, "paid")

    def again(subject):
        with suppress(orders.NotPossible):  # paid already
            place_and_pay(subject)

    prepared = killed_everywhere(prepare, place_and_pay, again=again)

    for product, order_id in prepared:
        assert Order.objects.get(pk=order_id).state == "paid"
        row = Stock.objects.get(pk=product.pk)
        assert (row.on_hand, row.reserved) == (UNITS - 3, 0)
