"""The audit finds every broken invariant, and nothing on a sale that is only busy."""

from contextlib import ExitStack
from functools import partial
from itertools import count, takewhile
from threading import Event
from uuid import uuid4

import pytest
import redis
from django.db import connection, transaction

from catalog import stock, thresholds
from catalog.models import StatusChange, Stock, StockMovement
from sales import adjustments, audit, checkout, counters, flash, jobs, recovery, sync
from sales.models import (
    AuditRun,
    FlashEvent,
    FlashSaleItem,
    ItemState,
    Order,
    OrderLine,
    OrderState,
    Payment,
    SaleState,
    Verdict,
)
from sales.orders import NotPossible
from tests.factories import make_item, make_loaded_item, make_product
from tests.threads import in_background, wait_for_blocked

# What a buyer or a tick may be told while an item is rebuilt.
NO_ALARM = (counters.NotLoaded, counters.Unsure, counters.ClaimRefused, NotPossible)
pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def claim(item, quantity=1, *, buyer="g:alice"):
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=quantity)
    return order_id


def pay(order_id):
    checkout.finish(checkout.begin_payment(order_id).pk, "paid")


def make_lived_item(**fields):
    """A loaded item with claims in every state, some of them still waiting."""
    item = make_loaded_item(**{"units": 9, **fields})
    orders = [claim(item, 2, buyer=f"g:{name}") for name in ("alice", "bob", "carol")]
    sync.drain(item.pk)
    pay(orders[0])
    checkout.begin_payment(orders[1])
    checkout.cancel(orders[2])
    sync.drain(item.pk)
    claim(item, 1, buyer="g:dan")
    item.refresh_from_db()
    return item, orders


def violated(report):
    return {f.invariant: f.first_difference for f in report.violations}


def run_sql(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


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
    last = FlashEvent.objects.get(order_id=carol, kind="release")
    last.delete()
    assert "the last event is" in violated(audit.look())[6]
    FlashEvent.objects.get(order_id=carol, kind="claim").delete()
    assert "is missing" in violated(audit.look())[6]


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


def test_what_is_no_drift_gives_no_alarm(sale_redis):
    item, (alice, _bob, _carol) = make_lived_item()
    adjustments.change_units(item.pk, 1)
    adjustments.change_units(item.pk, -2)
    adjustments.change_limit(item.pk, 1)
    thresholds.change({item.product_id: thresholds.Levels(safety_threshold=4)})
    assert audit.look().verdict == Verdict.HOLDS
    sync.drain(item.pk)
    checkout.refund(alice, restock=False)
    assert audit.look().verdict == Verdict.HOLDS

    counters.delete(item.pk)
    recovery.heal()
    claim(item, buyer="g:eve")
    assert audit.look().verdict == Verdict.HOLDS

    flash.end(item.sale_id)
    sync.drain(item.pk)
    for order in Order.objects.filter(state=OrderState.HELD):
        checkout.cancel(order.pk)
    for payment in Payment.objects.filter(state="pending"):
        checkout.finish(payment.pk, "paid")
    assert flash.settle(item.sale_id)
    paid = Order.objects.filter(state=OrderState.PAID).first()
    checkout.refund(paid.pk, restock=True)

    report = audit.look(audit.every_item())

    assert report.verdict == Verdict.HOLDS, violated(report)
    assert {f.invariant for f in report.findings if f.item_ids} >= {3, 5, 6}


def test_claims_that_only_the_journal_saved_are_no_drift(sale_redis):
    item, _ = make_lived_item()
    counters.delete(item.pk)  # with the claim of dan, which was not drained
    recovery.heal()

    report = audit.look()

    assert report.verdict == Verdict.HOLDS, violated(report)
    assert Order.objects.filter(buyer="g:dan").exists()


def test_an_item_that_is_being_recovered_is_not_checked(sale_redis):
    item, _ = make_lived_item()
    FlashSaleItem.objects.filter(pk=item.pk).update(
        state=ItemState.RECOVERING, epoch=2, last_seq=item.last_seq + 1_000_000
    )

    report = audit.look()

    assert report.verdict == Verdict.UNKNOWN, violated(report)


def test_an_item_on_its_way_into_redis_gives_no_alarm(sale_redis):
    item = make_loaded_item(units=4)
    counters.delete(item.pk)
    FlashSaleItem.objects.filter(pk=item.pk).update(loaded_at=None)

    assert audit.look().verdict == Verdict.HOLDS


def test_a_poison_event_is_counted_and_is_no_drift(sale_redis):
    item, _ = make_lived_item()
    meta, _claims, _buyers, events = counters.keys(item.pk)
    seq = int(sale_redis.hincrby(meta, "seq", 1))
    sale_redis.xadd(events, {"event": "nonsense", "epoch": 1}, id=f"{seq}-0")

    assert audit.look().verdict == Verdict.HOLDS
    sync.drain(item.pk)

    report = audit.look()
    assert report.verdict == Verdict.HOLDS, violated(report)
    assert [f.numbers["poison"] for f in report.findings if "poison" in f.numbers] == [
        1,
        1,
    ]


@pytest.mark.parametrize("part", range(4))
def test_missing_keys_are_not_checked_and_pause_nobody(sale_redis, part):
    item, _ = make_lived_item()
    sale_redis.delete(counters.keys(item.pk)[part])

    run = audit.run()

    assert run.verdict == Verdict.UNKNOWN
    assert FlashSaleItem.objects.get(pk=item.pk).state == ItemState.LOADED


def test_a_redis_that_does_not_answer_leaves_the_rest_checked(sale_redis, settings):
    make_lived_item()
    Stock.objects.filter(pk=make_product().pk).update(on_hand=1)
    settings.SALE_REDIS_URL = "unix:///nowhere.sock"

    report = audit.look()

    assert report.verdict == Verdict.DRIFT
    assert set(violated(report)) == {10}
    assert [f.holds for f in report.findings].count(None) == 4


def test_a_violation_pauses_its_item_and_no_other(sale_redis, caplog):
    item, other = make_loaded_item(), make_loaded_item()
    sale_redis.hincrby(counters.keys(item.pk)[0], "left", 1)

    run = audit.run()

    assert run.verdict == Verdict.DRIFT
    item.refresh_from_db()
    assert item.state == ItemState.PAUSED
    assert "Invariant 2" in item.doubt or "Invariant 1" in item.doubt
    assert "Invariant 1 of item" in caplog.text
    with pytest.raises(counters.ClaimRefused, match="paused"):
        claim(item)
    assert claim(other)
    flash.advance()
    with pytest.raises(counters.ClaimRefused, match="paused"):
        claim(item)


def test_drift_of_a_product_pauses_its_item(sale_redis):
    item = make_loaded_item()
    Stock.objects.filter(pk=item.product_id).update(on_hand=11)

    audit.run()

    item.refresh_from_db()
    assert (item.state, counters.snapshot(item.pk).state) == ("paused", "paused")


def test_a_run_without_pause_only_says_what_it_found(sale_redis):
    item = make_loaded_item()
    sale_redis.hincrby(counters.keys(item.pk)[0], "left", 1)

    assert audit.run(pause=False).verdict == Verdict.DRIFT
    assert claim(item)


def test_an_item_goes_on_when_everything_holds_again(sale_redis):
    item = make_loaded_item()
    meta = counters.keys(item.pk)[0]
    sale_redis.hincrby(meta, "left", 1)
    audit.run()
    sale_redis.hincrby(meta, "left", -1)

    audit.run(deep=False)
    with pytest.raises(counters.ClaimRefused, match="paused"):
        claim(item)  # sums alone are not enough
    audit.run()

    assert claim(item)


def test_a_wrong_redis_is_rebuilt_and_the_sale_goes_on(sale_redis):
    item, (alice, _bob, _carol) = make_lived_item()
    meta, claims, *_ = counters.keys(item.pk)
    sale_redis.hincrby(meta, "left", 1)
    sale_redis.hincrby(meta, "held", -1)
    sale_redis.hdel(claims, str(alice))

    assert jobs.audit_stock() == Verdict.DRIFT

    assert counters.snapshot(item.pk).epoch == 2
    assert audit.run().verdict == Verdict.HOLDS
    assert claim(item)
    assert audit.look().verdict == Verdict.HOLDS


def test_a_redis_is_not_rebuilt_from_orders_that_are_in_doubt(sale_redis):
    item, (alice, _bob, _carol) = make_lived_item()
    Order.objects.filter(pk=alice).update(state=OrderState.HELD)

    assert jobs.audit_stock() == Verdict.DRIFT

    assert counters.snapshot(item.pk).epoch == 1
    assert FlashSaleItem.objects.get(pk=item.pk).state == ItemState.PAUSED


def test_what_somebody_let_go_on_is_not_paused_for_the_same_again(sale_redis):
    item = make_loaded_item(units=3, limit=1)
    sale_redis.hset(counters.keys(item.pk)[0], "limit", 2)
    claim(item, 2)
    sale_redis.hset(counters.keys(item.pk)[0], "limit", 1)
    sync.drain(item.pk)
    audit.run()
    assert audit.resume_item(item.pk)

    assert audit.run().verdict == Verdict.DRIFT

    assert claim(item, buyer="g:bob")


def test_resume_lets_paused_items_of_a_live_sale_go_on(sale_redis, admin_user):
    """Only one product stands still, so the sale itself was never paused."""
    item = make_loaded_item(units=3, limit=1)
    flash.advance()
    sale_redis.hset(counters.keys(item.pk)[0], "limit", 2)
    claim(item, 2)
    sale_redis.hset(counters.keys(item.pk)[0], "limit", 1)
    sync.drain(item.pk)
    audit.run()
    with pytest.raises(counters.ClaimRefused, match="paused"):
        claim(item, buyer="g:bob")

    for _ in range(2):  # two clicks
        flash.resume(item.sale_id, actor=admin_user)
    audit.run()

    assert claim(item, buyer="g:bob")
    item.sale.refresh_from_db()
    assert item.sale.state == SaleState.LIVE
    moves = item.sale.transitions.filter(item=item, to_state=ItemState.LOADED)
    assert moves.get(from_state=ItemState.PAUSED).actor == admin_user


def test_an_item_whose_redis_was_rebuilt_is_paused_for_the_same_again(sale_redis):
    item, (alice, _bob, _carol) = make_lived_item()
    Order.objects.filter(pk=alice).update(buyer="g:eve")
    audit.run()
    counters.delete(item.pk)
    recovery.heal()

    audit.run()

    assert FlashSaleItem.objects.get(pk=item.pk).state == ItemState.PAUSED


def test_an_item_in_doubt_is_not_settled_until_it_is_put_right(sale_redis):
    item = make_loaded_item(units=4)
    order_id = claim(item, 2)
    pay(order_id)
    sync.drain(item.pk)
    Order.objects.filter(pk=order_id).update(state=OrderState.REFUNDED)
    flash.end(item.sale_id)

    flash.advance()
    flash.advance()
    item.refresh_from_db()
    assert item.state == ItemState.PAUSED
    assert str(order_id) in item.doubt
    assert Stock.objects.get(pk=item.product_id).allocated == 2

    Order.objects.filter(pk=order_id).update(state=OrderState.PAID)
    audit.run()
    flash.advance()
    item.refresh_from_db()
    assert item.state == ItemState.SETTLED
    assert Stock.objects.get(pk=item.product_id).allocated == 0


def test_the_last_verdict_is_kept_and_old_clean_ones_are_not(sale_redis):
    make_loaded_item()
    old = audit.run()
    AuditRun.objects.filter(pk=old.pk).update(created_at="2024-01-01T00:00Z")

    run = audit.run()

    assert audit.latest() == run
    assert list(AuditRun.objects.all()) == [run]
    assert run.result["findings"][0]["sentence"].startswith("In Redis, units")


def test_one_sale_is_checked_with_its_products_only(sale_redis):
    item, other = make_loaded_item(), make_loaded_item()
    sale_redis.hincrby(counters.keys(other.pk)[0], "left", 1)
    Stock.objects.filter(pk=other.product_id).update(on_hand=11)

    assert audit.of_sale(item.sale_id).verdict == Verdict.HOLDS
    assert set(violated(audit.of_sale(other.sale_id))) == {1, 2, 10}
    assert audit.of_sale(make_item().sale_id).verdict == Verdict.HOLDS


def test_a_difference_counts_only_when_nobody_is_half_way(sale_redis):
    """Redis is changed before PostgreSQL commits; the audit waits and looks again."""
    item = make_loaded_item(units=4)
    sync.drain(item.pk)
    seen = []

    with ExitStack() as stack, transaction.atomic():
        FlashSaleItem.objects.select_for_update().get(pk=item.pk)
        counters.adjust(item.pk, epoch=1, units=1)
        sale_redis.hset(counters.keys(item.pk)[0], "left", 0)
        stack.enter_context(in_background(lambda: seen.append(audit.look())))
        wait_for_blocked(1)
        sale_redis.hset(counters.keys(item.pk)[0], "left", 5)

    (report,) = seen
    assert report.verdict == Verdict.HOLDS, violated(report)


def keep_buying(item, buyer, done):
    """Claim, and cancel or pay some of what was claimed, until `done`."""
    for turn in takewhile(lambda _: not done.is_set(), count()):
        try:
            order_id = claim(item, buyer=buyer)
            if turn % 3 == 1:
                checkout.cancel(order_id)
            elif turn % 3 == 2:
                pay(order_id)
        except NO_ALARM:
            continue
    counters.disconnect()


def keep_tending(item, done):
    """Drain in small batches, receive goods, add units, recover, until `done`."""
    for turn in takewhile(lambda _: not done.is_set(), count()):
        try:
            sync.drain(item.pk, batch=50)
            stock.receive(item.product_id, 1, note=stock.Note(cause="test"))
            if turn % 5 == 0:
                adjustments.change_units(item.pk, 1)
            if turn % 20 == 0:
                recovery.open_fence(force=True)
        except NO_ALARM:
            continue
    counters.disconnect()


def test_a_busy_sale_gives_no_false_alarm(sale_redis):
    product = make_product(on_hand=5000)
    item = make_loaded_item(product=product, units=4000, limit=5000)
    done = Event()
    reports = []
    buyers = [
        partial(keep_buying, item, f"g:{name}", done) for name in ("alice", "bob")
    ]
    with in_background(*buyers, partial(keep_tending, item, done)):
        try:
            for number in range(20):
                reports.append(audit.look(deep=number % 3 > 0))
                if number == 10:  # lose everything, and be rebuilt
                    counters.delete(item.pk)
                    recovery.heal()
        finally:
            done.set()

    alarms = [violated(r) for r in reports if r.verdict == Verdict.DRIFT]
    assert not alarms
    assert sum(r.verdict == Verdict.HOLDS for r in reports) >= 12
    sync.drain(item.pk)
    kinds = set(FlashEvent.objects.values_list("kind", flat=True))
    assert kinds >= {"claim", "begin", "confirm", "release", "adjust", "recover"}
    assert audit.look().verdict == Verdict.HOLDS
