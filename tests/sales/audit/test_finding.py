"""The audit finds every broken invariant."""

from uuid import uuid4

import pytest
import redis

from catalog import stock
from catalog.models import StatusChange, Stock, StockMovement
from sales import audit, counters, sync
from sales.models import (
    FlashEvent,
    FlashSaleItem,
    ItemState,
    Order,
    OrderLine,
    OrderState,
    Verdict,
)
from tests.factories import make_loaded_item, make_product
from tests.sales.audit.sales import claim, make_lived_item, run_sql, violated

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def test_everything_holds_on_a_sale_with_claims_in_every_state(sale_redis):
    item, _ = make_lived_item()

    report = audit.look()

    assert report.verdict == Verdict.HOLDS, violated(report)
    assert {f.invariant for f in report.findings} == {1, 2, 3, 4, 5, 6, 7, 9, 10}
    numbers = {f.invariant: f.numbers for f in report.findings if item.pk in f.item_ids}
    assert numbers[2] == {
        "units": 9,
        "left": 4,
        "held": 0,
        "paying": 2,
        "paid": 2,
        "in_flight": 1,
        "poison": 0,
    }
    assert numbers[4]["waiting"] == 1


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize(
    ("field", "invariants"),
    [("left", {1, 2}), ("paid", {1, 2}), ("released", {2}), ("floor", {2})],
)
def test_a_counter_changed_in_redis_is_found(sale_redis, field, invariants, deep):
    item, _ = make_lived_item()
    sale_redis.hincrby(counters.keys(item.pk)[0], field, 1)

    found = violated(audit.look(deep=deep))

    assert set(found) == invariants
    assert f"{field} is" in found[2]


def test_units_moved_between_two_counters_in_redis_are_found(sale_redis):
    item, _ = make_lived_item()
    meta = counters.keys(item.pk)[0]
    sale_redis.hincrby(meta, "held", 1)
    sale_redis.hincrby(meta, "left", -1)

    assert "left is 3 in Redis and 4 by the events" in violated(audit.look())[2]


def test_a_negative_counter_is_found(sale_redis):
    item, _ = make_lived_item()
    sale_redis.hset(counters.keys(item.pk)[0], "left", -1)

    assert violated(audit.look())[3] == "left is -1"


def test_a_missing_event_is_found_by_its_number(sale_redis):
    item = make_loaded_item()
    for name in ("alice", "bob", "carol"):
        claim(item, buyer=f"g:{name}")
    sale_redis.xdel(counters.keys(item.pk)[3], "3-0")

    found = violated(audit.look())

    assert set(found) == {4}
    assert "event 3 is missing" in found[4]


def test_a_redis_that_is_behind_postgresql_is_found(sale_redis):
    item, _ = make_lived_item()
    sync.drain(item.pk)
    item.refresh_from_db()
    meta, _claims, _buyers, events = counters.keys(item.pk)
    sale_redis.xdel(events, f"{item.last_seq}-0")
    sale_redis.hset(meta, "seq", item.last_seq - 1)

    assert "Redis is at event" in violated(audit.look())[4]


def test_another_epoch_is_found(sale_redis):
    item, _ = make_lived_item()
    for key in counters.keys(item.pk)[1:3]:
        sale_redis.hset(key, "_epoch", 7)
    sale_redis.hset(counters.keys(item.pk)[0], "epoch", 7)

    assert "epoch 7" in violated(audit.look())[4]


def test_the_first_claim_that_differs_in_redis_is_named(sale_redis):
    item, (alice, bob, _carol) = make_lived_item()
    claims = counters.keys(item.pk)[1]
    for order_id in (bob, alice):
        text = sale_redis.hget(claims, str(order_id))
        sale_redis.hset(claims, str(order_id), text.replace("|2|", "|1|"))

    found = violated(audit.look())

    assert set(found) == {7}
    assert str(alice) in found[7]
    assert "quantity 1 in Redis, 2 by the events" in found[7]


def test_a_claim_that_only_one_side_knows_is_found(sale_redis):
    item, (alice, _bob, _carol) = make_lived_item()
    claims = counters.keys(item.pk)[1]
    text = sale_redis.hget(claims, str(alice))
    stranger = str(uuid4())
    sale_redis.hset(claims, stranger, text)
    assert f"{stranger} (event 3) is in Redis only" in violated(audit.look())[7]

    sale_redis.hdel(claims, str(alice), stranger)
    assert "missing in Redis" in violated(audit.look())[7]


def test_a_buyer_whose_units_are_wrong_is_found(sale_redis):
    item, _ = make_lived_item()
    sale_redis.hset(counters.keys(item.pk)[2], "g:dan", 0)

    assert "buyer g:dan owns 0 units in Redis, 1" in violated(audit.look())[7]


def test_a_confirmed_claim_that_is_nowhere_is_reported_without_a_pause(
    sale_redis, settings
):
    item, _ = make_lived_item()
    with redis.Redis.from_url(settings.QUEUE_REDIS_URL) as queue:
        stored = counters.StoredClaim("held", "g:zoe", 1, 1, 99, 1, False)
        note = str(counters.Note(stored, as_of=99))
        queue.hset(f"flash:{{{item.pk}}}:journal", str(uuid4()), note)

    run = audit.run()

    (finding,) = run.violations
    assert "of buyer g:zoe was confirmed and is lost" in finding["first_difference"]
    assert FlashSaleItem.objects.get(pk=item.pk).state == ItemState.LOADED


def test_a_claim_above_the_limit_is_found_afterwards(sale_redis):
    item = make_loaded_item(units=3, limit=1)
    meta = counters.keys(item.pk)[0]
    sale_redis.hset(meta, "limit", 2)
    order_id = claim(item, 2)
    sale_redis.hset(meta, "limit", 1)
    sync.drain(item.pk)

    found = violated(audit.look())

    assert set(found) == {3}
    assert f"{order_id}, gave g:alice 2 units at a limit of 1" in found[3]


def test_a_claim_below_the_floor_is_found_afterwards(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=3, safety_threshold=2))
    meta = counters.keys(item.pk)[0]
    sale_redis.hset(meta, "floor", 0)
    order_id = claim(item, 2)
    sale_redis.hset(meta, "floor", 2)
    sync.drain(item.pk)

    found = violated(audit.look())

    assert f"{order_id}, left 1 of the floor 2" in found[3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": OrderState.PAYING}, "state is paying and paid by the events"),
        ({"buyer": "g:eve"}, "buyer is g:eve"),
        ({"paid_at": None}, "paid_at is None"),
    ],
)
def test_an_order_changed_outside_the_drain_is_named(sale_redis, change, words):
    _, (alice, _bob, _carol) = make_lived_item()
    Order.objects.filter(pk=alice).update(**change)

    found = violated(audit.look())[6]

    assert str(alice) in found
    assert words in found


def test_an_order_without_events_and_events_without_an_order_are_found(sale_redis):
    _, (alice, _bob, carol) = make_lived_item()
    OrderLine.objects.filter(order_id=alice).update(quantity=1)
    assert "quantity is 1 and 2 by the events" in violated(audit.look())[6]
    delete_by_force(FlashEvent.objects.get(order_id=carol, kind="release"))
    assert "the last event is" in violated(audit.look())[6]
    delete_by_force(FlashEvent.objects.get(order_id=carol, kind="claim"))
    assert "is missing" in violated(audit.look())[6]


def delete_by_force(event):
    """As the owner of the database can, whom no trigger stops."""
    run_sql(
        "SET session_replication_role = replica",
        f"DELETE FROM sales_flashevent WHERE id = {event.pk}",
        "SET session_replication_role = origin",
    )


def test_stored_counters_that_the_events_do_not_give_are_found(sale_redis):
    item, _ = make_lived_item()
    FlashSaleItem.objects.filter(pk=item.pk).update(held=2, paid=0)

    assert "held is 2 and 0 by the events" in violated(audit.look())[6]
    light = violated(audit.look(deep=False))
    assert "held is 2 and the orders add up to 0" in light[6]


def test_a_guard_of_the_database_that_is_gone_is_found():
    switch = "ALTER TABLE catalog_stockmovement %s TRIGGER stock_movement_append_only"
    run_sql(switch % "DISABLE")
    try:
        found = violated(audit.look())
    finally:
        run_sql(switch % "ENABLE")

    assert found == {5: "stock_movement_append_only is missing or switched off"}
    assert audit.look().verdict == Verdict.HOLDS


def test_a_crossing_that_is_missing_or_doubled_is_found():
    product = make_product(on_hand=3, safety_threshold=1)
    for on_hand in (1, 4, 0):
        stock.adjust(product.pk, on_hand=on_hand, note=stock.Note())
    assert audit.look().verdict == Verdict.HOLDS

    change = StatusChange.objects.filter(product=product).order_by("pk")[1]
    change.delete()

    assert product.sku in violated(audit.look())[9]


def test_a_stock_row_changed_with_sql_is_named_with_its_last_movement():
    make_product()
    product = make_product(on_hand=7)
    Stock.objects.filter(pk=product.pk).update(on_hand=8)
    last = StockMovement.objects.get(product=product)

    found = violated(audit.look())

    assert set(found) == {10}
    assert found[10] == (
        f"{product.sku}: 8 on hand, 0 reserved, 0 allocated; "
        "the ledger adds up to 7 on hand, 0 reserved, 0 allocated; "
        f"the last movement, {last.pk} (receipt), left 7 on hand, 0 reserved, "
        "0 allocated"
    )


def test_units_reserved_for_nobody_and_set_aside_for_no_sale_are_found(sale_redis):
    item, (_alice, bob, _carol) = make_lived_item()
    Order.objects.filter(pk=bob).update(state=OrderState.CANCELLED)
    assert "open orders hold 0" in violated(audit.look())[10]

    FlashSaleItem.objects.filter(pk=item.pk).update(state=ItemState.SETTLED)
    assert "running sales have 0" in violated(audit.look())[10]
