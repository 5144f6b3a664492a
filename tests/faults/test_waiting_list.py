"""The waiting list, killed between any two steps, and while Redis comes and goes."""

from uuid import uuid4

import pytest
from django.utils import timezone

from sales import checkout, counters, flash, recovery, sync, waiting_list
from sales.models import OrderMail, WaitingEntry
from tests.factories import make_loaded_item, make_product
from tests.faults.test_crashes import killed_everywhere  # noqa: F401

pytestmark = [
    pytest.mark.redis,
    pytest.mark.long,
    pytest.mark.django_db(transaction=True),
]


class Line:
    """An item whose one unit is held, and two people in line for it."""

    def __init__(self, log):
        self.log = log
        self.item = make_loaded_item(product=make_product(on_hand=1))
        self.held = uuid4()
        self.sent(self.held, "g:holder")
        flash.claim(self.item.pk, order_id=self.held, buyer="g:holder", quantity=1)
        sync.drain(self.item.pk)
        self.first, self.second = self.join("first"), self.join("second")

    def sent(self, order_id, buyer):
        self.log.sent[str(order_id)] = (self.item.pk, buyer, 1)

    def join(self, name):
        entry = waiting_list.join(
            self.item.pk, buyer=f"g:{name}", quantity=1, email=f"{name}@shop.test"
        ).entry
        self.sent(entry.order_id, entry.buyer)
        return entry

    def give_back(self):
        checkout.cancel(self.held)
        return self

    def serve(self):
        sync.drain(self.item.pk)
        waiting_list.hand_out(self.item.pk)
        waiting_list.keep(self.item.pk)

    @property
    def states(self):
        entries = WaitingEntry.objects.filter(item=self.item)
        return list(entries.values_list("state", flat=True))

    @property
    def mails(self):
        return OrderMail.objects.filter(order__flash_item=self.item, kind="offer")


def test_an_offer_is_made_once_wherever_it_was_killed(killed_everywhere):  # noqa: F811
    prepared = killed_everywhere(lambda log: Line(log).give_back(), Line.serve)

    for line in prepared:
        assert line.states == ["offered", "waiting"]
        assert line.mails.count() == 1
        s = counters.snapshot(line.item.pk)
        assert (s.left, s.held, s.waiting) == (0, 1, 1)


def test_a_join_that_was_killed_is_made_once(killed_everywhere):  # noqa: F811
    def again(line):
        line.join("third")
        waiting_list.keep(line.item.pk)

    prepared = killed_everywhere(Line, lambda line: line.join("third"), again=again)

    for line in prepared:
        assert line.states == ["waiting"] * 3
        assert counters.snapshot(line.item.pk).waiting == 3


def test_a_leave_that_was_killed_frees_the_place(killed_everywhere):  # noqa: F811
    def leave(line):
        waiting_list.leave(line.first.order_id)

    prepared = killed_everywhere(Line, leave, least=5)

    for line in prepared:
        assert line.states == ["left", "waiting"]
        assert counters.snapshot(line.item.pk).waiting == 1


@pytest.mark.parametrize("broken", [False, True])
def test_control_a_line_that_is_not_kept_is_passed(sale_redis, monkeypatch, broken):
    """Without the number in the counters a shopper would snatch what came back."""
    if broken:
        monkeypatch.setattr(counters, "keep_for_line", lambda *args, **named: None)
    line = Line(Logless())
    line.give_back()

    try:
        flash.claim(line.item.pk, order_id=uuid4(), buyer="g:snatcher", quantity=1)
    except counters.ClaimRefused as refused:
        outcome = refused.code
    else:
        outcome = "snatched"
    line.serve()

    assert outcome == ("snatched" if broken else "all_held")
    assert line.states == ["waiting" if broken else "offered", "waiting"]


class Logless:
    sent: dict = {}


def test_a_redis_lost_between_claim_and_offer_loses_no_turn(own_sale_redis):
    line = Line(Logless()).give_back()
    sync.drain(line.item.pk)
    entry = line.first
    wanted = counters.Claim(entry.order_id, entry.buyer, 1)
    counters.claim_many(
        line.item.pk, epoch=line.item.epoch, claims=[wanted], offer_ms=900_000
    )

    counters.client().flushall()  # nobody was told of the claim yet
    counters.flush_scripts()
    recovery.open_fence()
    waiting_list.serve(timezone.now())

    assert line.states == ["offered", "waiting"]
    assert line.mails.count() == 1
    assert counters.snapshot(line.item.pk).waiting == 1
