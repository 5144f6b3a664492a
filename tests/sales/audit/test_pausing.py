"""What an audit finds pauses its item, is kept, and is put right."""

import pytest

from catalog.models import Stock
from sales import audit, counters, flash, jobs, recovery, sync
from sales.models import (
    AuditRun,
    FlashSaleItem,
    ItemState,
    Order,
    OrderState,
    SaleState,
    Verdict,
)
from tests.factories import make_item, make_loaded_item
from tests.sales.audit.sales import claim, make_lived_item, pay, violated

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


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
