"""The drain: from the stream to orders, stock and ledger, exactly once."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from catalog.models import StatusChange, Stock, StockMovement
from sales import adjustments, checkout, counters, flash, orders, sync
from sales.models import FlashEvent, FlashSaleItem, ItemState, Order
from sales.sync import order_rows
from tests.catalog.ledger import assert_ledger_explains
from tests.factories import make_loaded_item, make_product
from tests.faults import invariants
from tests.threads import run_at_once

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def claim(item, quantity=1, *, buyer="g:alice", order_id=None):
    order_id = order_id or uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=quantity)
    return order_id


def claim_many(item, number):
    wanted = [counters.Claim(uuid4(), f"g:{n}", 1) for n in range(number)]
    counters.claim_many(item.pk, epoch=item.epoch, claims=wanted)


def inject(redis, item, fields, *, skip=0):
    """Put an event of somebody else into the stream, where the next one belongs."""
    meta, _, _, events = counters.keys(item.pk)
    seq = redis.hincrby(meta, "seq", 1 + skip)
    redis.xadd(events, fields, id=f"{seq}-0")
    return seq


def fresh(item):
    return FlashSaleItem.objects.get(pk=item.pk)


def test_a_claim_becomes_an_order_with_its_line_price_and_user(sale_redis):
    user = User.objects.create_user("carol", email="carol@example.com")
    item = make_loaded_item(price=Decimal("4.20"))
    order_id = claim(item, 3, buyer=f"u:{user.pk}")
    stored = counters.find(item.pk, order_id)

    assert sync.drain(item.pk) > 0

    order = Order.objects.get(pk=order_id)
    assert (order.state, order.user, order.email) == ("held", user, user.email)
    assert (order.total, order.claim_seq) == (Decimal("12.60"), stored.seq)
    assert sync.milliseconds(order.expires_at) == stored.expires_at
    line = order.lines.get()
    assert (line.product_id, line.quantity, line.price) == (
        item.product_id,
        3,
        Decimal("4.20"),
    )
    row = Stock.objects.get(pk=item.product_id)
    assert (row.on_hand, row.reserved, row.allocated) == (10, 3, 7)
    assert_ledger_explains(item.product)


@pytest.mark.parametrize("buyer", ["u:999999", "u:99999999999999999999", "u:x", "g:a"])
def test_a_buyer_without_an_account_is_no_obstacle(sale_redis, buyer):
    item = make_loaded_item()
    order_id = claim(item, buyer=buyer)
    sync.drain(item.pk)
    assert Order.objects.get(pk=order_id).user is None


def test_draining_again_changes_nothing(sale_redis):
    item = make_loaded_item()
    claim(item)
    assert sync.drain(item.pk) > 0
    before = list(StockMovement.objects.values_list("pk", flat=True))
    assert sync.drain(item.pk) == 0
    assert list(StockMovement.objects.values_list("pk", flat=True)) == before


def test_four_runners_at_once_drain_each_event_once(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=300))
    claim_many(item, 200)
    waiting = counters.snapshot(item.pk).seq

    def drain(_):
        try:
            return sync.drain(item.pk, batch=20)
        finally:
            counters.disconnect()

    drained = run_at_once(drain, range(4))

    assert sum(drained) + sync.drain(item.pk) == waiting
    assert Order.objects.count() == 200
    assert invariants.violations() == []


def test_a_runner_finds_the_item_taken_and_goes_away(sale_redis):
    item = make_loaded_item()
    claim(item)
    with transaction.atomic():
        FlashSaleItem.objects.select_for_update().get(pk=item.pk)
        (drained,) = run_at_once(lambda _: sync.drain(item.pk), [0])
    assert drained == 0


def test_batches_of_one_come_to_the_same_as_one_batch(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=9, safety_threshold=3))
    first, second = claim(item, 4), claim(item, 2)
    checkout.cancel(first)
    claim(item, 1)
    checkout.cancel(second)
    claim(item, 5)

    assert sync.drain(item.pk, batch=1) == counters.snapshot(item.pk).seq

    flips = StatusChange.objects.filter(product_id=item.product_id)
    assert [f.to_status for f in flips.order_by("pk")] == [
        "out_of_stock",
        "in_stock",
        "out_of_stock",
    ]
    assert invariants.violations() == []


def test_each_crossing_inside_one_batch_is_recorded_once(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=4))
    for _ in range(3):
        checkout.cancel(claim(item, 4))

    sync.drain(item.pk)

    out = StatusChange.objects.filter(to_status="out_of_stock")
    assert out.count() == 3
    assert invariants.violations() == []


def test_the_budget_bounds_a_run(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=100))
    claim_many(item, 50)
    assert sync.drain(item.pk, budget=timedelta(0), batch=10) == 10


def test_a_batch_takes_the_same_number_of_queries_however_large(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=3000))

    def queries(number):
        claim_many(item, number)
        with CaptureQueriesContext(connection) as captured:
            assert sync.drain(item.pk, batch=5000) >= number
        return len(captured)

    queries(5)
    few, many = queries(5), queries(1500)
    assert many <= few + 4  # bulk inserts are cut into portions


def test_the_price_is_that_of_the_moment_in_the_stream(sale_redis):
    item = make_loaded_item(price=Decimal("5.00"))
    before = claim(item)
    adjustments.change_price(item.pk, Decimal("4.00"))
    after = claim(item)

    sync.drain(item.pk)

    totals = dict(Order.objects.values_list("pk", "total"))
    assert totals == {before: Decimal("5.00"), after: Decimal("4.00")}


def test_an_order_that_is_claimed_again_keeps_its_price(sale_redis):
    item = make_loaded_item(price=Decimal("5.00"))
    order_id = claim(item)
    checkout.cancel(order_id)
    sync.drain(item.pk)
    adjustments.change_price(item.pk, Decimal("9.00"))
    checkout.claim_again(order_id)

    sync.drain(item.pk)

    order = Order.objects.get(pk=order_id)
    assert (order.state, order.total, order.closed_at) == (
        "held",
        Decimal("5.00"),
        None,
    )


def test_the_journal_forgets_what_is_drained(sale_redis):
    item = make_loaded_item()
    order_id = claim(item)
    assert counters.journaled(item.pk).keys() == {order_id}
    sync.drain(item.pk)
    assert counters.journaled(item.pk) == {}


# -- Poison -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"event": "sell"},
        {"event": ""},
        {"order_id": "nobody"},
        {"quantity": "1000"},
        {"quantity": "-1"},
        {"quantity": "1e3"},
        {"at": str(10**18)},
        {"expires_at": str(10**18)},
        {"buyer": "\x00"},
        {"order_id": b"\xff\xfe"},
        {"more": "\x00 \ud7ff"},
        {"event": "adjust", "delta": "1", "floor": "0", "ref": "no id"},
        {"event": "preload"},
        {"event": "confirm"},
    ],
)
def test_a_poison_event_is_set_aside_marked_and_counted(sale_redis, change):
    item = make_loaded_item()
    first = claim(item)
    good = {
        "event": "claim",
        "epoch": "1",
        "at": "1700000000000",
        "order_id": str(uuid4()),
        "buyer": "g:mallory",
        "quantity": "1",
        "expires_at": "1700000000000",
    }
    seq = inject(sale_redis, item, {**good, **change})
    second = claim(item)

    sync.drain(item.pk)

    event = FlashEvent.objects.get(item=item, seq=seq)
    assert event.is_poison
    assert fresh(item).poison_events == 1
    assert fresh(item).state == ItemState.LOADED
    assert set(Order.objects.values_list("pk", flat=True)) == {first, second}
    assert Stock.objects.get(pk=item.product_id).reserved == 2


def test_an_event_without_any_field_we_know_is_set_aside(sale_redis):
    item = make_loaded_item()
    inject(sale_redis, item, {"hello": "world" * 1000})
    sync.drain(item.pk)
    (event,) = FlashEvent.objects.filter(is_poison=True)
    assert event.details["hello"].startswith("world")
    assert len(event.details["hello"]) == 500


# -- Doubt ------------------------------------------------------------------------


def test_a_gap_freezes_the_item_and_leaves_the_events(sale_redis):
    item = make_loaded_item()
    sync.drain(item.pk)
    inject(sale_redis, item, {"event": "claim"}, skip=1)

    assert sync.drain(item.pk) == 0

    item = fresh(item)
    assert item.state == ItemState.FROZEN
    assert "is missing" in item.doubt
    assert item.last_seq < counters.snapshot(item.pk).seq
    with pytest.raises(counters.NotLoaded):
        claim(item)


def test_an_event_of_another_epoch_freezes_the_item(sale_redis):
    item = make_loaded_item()
    sync.drain(item.pk)
    inject(sale_redis, item, {"event": "claim", "epoch": "7"})

    sync.drain(item.pk)

    assert fresh(item).state == ItemState.FROZEN
    assert "epoch 7" in fresh(item).doubt


def test_events_before_a_gap_in_an_earlier_batch_are_kept(sale_redis):
    item = make_loaded_item()
    order_id = claim(item)
    before_gap = counters.snapshot(item.pk).seq
    inject(sale_redis, item, {"event": "claim"}, skip=1)

    sync.drain(item.pk, batch=before_gap)

    assert Order.objects.filter(pk=order_id).exists()
    assert fresh(item).last_seq == before_gap


def test_what_postgresql_refuses_freezes_the_item(sale_redis):
    item = make_loaded_item()
    sync.drain(item.pk)
    claim(item, 4)
    # As if somebody had given the allocation away behind our back.
    Stock.objects.filter(pk=item.product_id).update(allocated=2)

    assert sync.drain(item.pk) == 0

    assert fresh(item).state == ItemState.FROZEN
    assert "PostgreSQL refused" in fresh(item).doubt
    assert Order.objects.count() == 0


def test_a_regular_order_that_takes_the_same_id_meanwhile_freezes_nothing(
    sale_redis, monkeypatch
):
    item = make_loaded_item()
    order_id = claim(item)
    other = make_product()
    contact = orders.Contact(email="a@example.com")
    taken = order_rows._taken

    def placed_a_moment_later(order_ids):
        found = taken(order_ids)
        if not Order.objects.exists():
            run_at_once(
                lambda _: orders.place(order_id, [(other.pk, 1)], contact=contact), [0]
            )
        return found

    monkeypatch.setattr(order_rows, "_taken", placed_a_moment_later)

    sync.drain(item.pk)

    assert fresh(item).state == ItemState.LOADED
    assert Order.objects.get(pk=order_id).flash_item is None
    assert Order.objects.get(claim_id=order_id).flash_item == item


@pytest.mark.parametrize("state", [ItemState.FROZEN, ItemState.RECOVERING])
def test_an_item_in_doubt_is_not_drained(sale_redis, state):
    item = make_loaded_item()
    claim(item)
    FlashSaleItem.objects.filter(pk=item.pk).update(state=state)
    assert sync.drain(item.pk) == 0


def test_freezing_closes_whatever_life_redis_holds(sale_redis):
    item = make_loaded_item()
    FlashSaleItem.objects.filter(pk=item.pk).update(epoch=5)
    assert sync.freeze(item.pk, "a test") is True
    assert counters.snapshot(item.pk).state == "frozen"


def test_without_redis_the_caller_is_told_and_the_item_frozen(own_sale_redis):
    item = make_loaded_item()
    own_sale_redis.kill()
    counters.disconnect()
    with pytest.raises(counters.NotLoaded):
        sync.drain(item.pk)
    assert sync.freeze(item.pk, "a test") is False
    assert fresh(item).state == ItemState.FROZEN
