"""An offer whose claim nobody can read from the stream: the line goes on without it."""

import pytest

from sales import checkout, counters, recovery, sync
from sales.models import FlashSaleItem
from tests.sales.waiting_list.line import join, kept, make_full_item, states, tick

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def offer_unreadably(redis, item, entry):
    """Claim an entry's offer as a tick does; what the stream has of it is damaged."""
    (answer,) = counters.claim_many(
        item.pk,
        epoch=FlashSaleItem.objects.get(pk=item.pk).epoch,
        claims=[counters.Claim(entry.order_id, entry.buyer, entry.quantity)],
        offer_ms=600_000,
    )
    stream = counters.keys(item.pk)[-1]
    events = redis.xrange(stream)
    events[-1][1]["quantity"] = "damaged"
    redis.delete(stream)
    for event_id, fields in events:
        redis.xadd(stream, fields, id=event_id)
    return answer


def give_back(item, order_id):
    checkout.cancel(order_id)
    sync.drain(item.pk)


@pytest.fixture
def line(sale_redis):
    """An item with one unit to give, and two in line; the first one's offer is lost."""
    item, (one, two) = make_full_item(units=2)
    first, second = join(item), join(item)
    give_back(item, one)
    assert isinstance(offer_unreadably(sale_redis, item, first), counters.Admitted)
    give_back(item, two)
    return item, first, second


def test_the_next_in_line_gets_the_next_unit(line):
    item, first, second = line

    tick()  # finds that the first offer is lost
    tick()

    assert states(first, second) == ["closed", "offered"]
    assert first.reason == "conflict"
    assert kept(item) == 0


def test_whose_offer_is_lost_is_told_and_may_join_again(client, line):
    item, first, _ = line
    tick()
    first.refresh_from_db()

    assert "We lost your place" in client.get(first.get_absolute_url()).text
    assert states(join(item, buyer=first.buyer)) == ["waiting"]


def test_the_unit_of_the_lost_offer_comes_back_with_recovery(line):
    item, _, second = line
    tick()
    tick()
    third = join(item)

    recovery.recover(item.pk, doubt="the audit found a claim without an order")
    recovery.open_fence()
    tick()

    assert states(second, third) == ["offered", "offered"]
    item.refresh_from_db()
    assert (item.left, item.held) == (0, 2)
