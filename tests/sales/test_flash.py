"""A flash sale from preload to settlement, on a real Redis and PostgreSQL."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from catalog import thresholds
from catalog.models import StatusChange, Stock, StockMovement
from catalog.status import StockStatus
from sales import checkout, counters, flash, recovery, sync
from sales.models import FlashSale, FlashSaleItem, ItemState, Order, OrderState
from sales.orders import NotPossible
from tests.factories import make_item, make_loaded_item, make_product, make_sale
from tests.threads import run_at_once

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def claim(item, quantity=1, *, buyer="g:alice", order_id=None):
    return flash.claim(
        item.pk, order_id=order_id or uuid4(), buyer=buyer, quantity=quantity
    )


def test_all_of_20_units_over_a_threshold_of_5_sells_15_to_200_buyers(sale_redis):
    product = make_product(on_hand=20, safety_threshold=5)
    item = make_loaded_item(product=product, limit=1)

    def buy(number):
        order_id = uuid4()
        try:
            claim(item, buyer=f"g:{number}", order_id=order_id)
        except counters.ClaimRefused as refused:
            return refused.code
        finally:
            counters.disconnect()
        return order_id

    outcomes = run_at_once(buy, range(200))
    order_ids = [o for o in outcomes if not isinstance(o, str)]
    assert len(order_ids) == 15
    assert set(outcomes) - set(order_ids) == {"all_held"}
    assert flash.live([item.pk])[item.pk].state == "all_held"

    sync.drain(item.pk)
    stock = Stock.objects.get(pk=product.pk)
    assert (stock.on_hand, stock.reserved, stock.allocated) == (20, 15, 5)
    assert stock.status == StockStatus.OUT
    for order_id in order_ids:
        payment = checkout.begin_payment(order_id)
        checkout.finish(payment.pk, "paid")
    sync.drain(item.pk)
    stock.refresh_from_db()
    assert (stock.on_hand, stock.reserved, stock.allocated) == (5, 0, 5)
    assert Order.objects.filter(state=OrderState.PAID).count() == 15
    assert flash.live([item.pk])[item.pk].state == "sold_out"
    flips = StatusChange.objects.filter(product=product, to_status=StockStatus.OUT)
    assert flips.count() == 1


def test_preload_twice_at_once_allocates_once(sale_redis):
    item = make_item(units=6)

    def preload(_):
        try:
            return flash.preload(item.sale_id)
        finally:
            counters.disconnect()

    outcomes = [o for found in run_at_once(preload, range(4)) for o in found]

    assert [o.error for o in outcomes] == [""] * 4
    stock = Stock.objects.get(pk=item.product_id)
    assert stock.allocated == 6
    assert counters.snapshot(item.pk).left == 6


def test_preload_reports_an_item_with_too_few_units_and_loads_the_others(sale_redis):
    sale = make_sale(state=FlashSale.State.SCHEDULED)
    good = make_item(sale=sale, units=3)
    bad = make_item(sale=sale, units=11)

    outcomes = {o.item_id: o for o in flash.preload(sale.pk)}

    assert outcomes[good.pk].units == 3
    assert "11 units asked, 10 available" in outcomes[bad.pk].error
    assert Stock.objects.get(pk=bad.product_id).allocated == 0


def test_a_replayed_claim_gets_its_first_answer_also_after_the_end(sale_redis):
    item = make_loaded_item(units=5)
    order_id = uuid4()
    first = claim(item, 2, order_id=order_id)
    flash.end(item.sale_id)

    again = claim(item, 2, order_id=order_id)

    assert again.replayed
    assert (again.seq, again.left, again.expires_at) == (
        first.seq,
        first.left,
        first.expires_at,
    )
    with pytest.raises(counters.ClaimRefused, match="conflict"):
        claim(item, 1, order_id=order_id)


def test_the_leftover_goes_back_exactly_once(sale_redis):
    product = make_product(on_hand=10)
    item = make_loaded_item(product=product, units=8)
    order_id = uuid4()
    claim(item, 3, order_id=order_id)
    sync.drain(item.pk)
    payment = checkout.begin_payment(order_id)
    flash.end(item.sale_id)
    assert flash.settle(item.sale_id) is False

    checkout.finish(payment.pk, "paid")
    flash.advance()
    flash.advance()
    assert flash.settle(item.sale_id) is True

    stock = Stock.objects.get(pk=product.pk)
    assert (stock.on_hand, stock.reserved, stock.allocated) == (7, 0, 0)
    returns = StockMovement.objects.filter(product=product, kind="flash_return")
    assert [m.allocated_delta for m in returns] == [-5]
    assert not sale_redis.exists(*counters.keys(item.pk))
    item.refresh_from_db()
    assert (item.state, item.paid, item.left) == (ItemState.SETTLED, 3, 5)


def test_an_expired_hold_can_be_claimed_by_somebody_else(sale_redis, settings):
    settings.SHOP_FLASH_HOLD_SECONDS = 0
    item = make_loaded_item(units=1)
    order_id = uuid4()
    claim(item, order_id=order_id)
    sync.drain(item.pk)

    assert checkout.expire_due(timezone.now() + timedelta(seconds=1)) == 1

    sync.drain(item.pk)
    assert Order.objects.get(pk=order_id).state == OrderState.EXPIRED
    claim(item, buyer="g:bob")


def test_money_that_comes_late_gets_a_unit_if_one_is_left_else_goes_back(
    sale_redis,
):
    item = make_loaded_item(units=2)
    orders = [uuid4(), uuid4()]
    payments = []
    for number, order_id in enumerate(orders):
        claim(item, order_id=order_id, buyer=f"g:{number}")
        payments.append(checkout.begin_payment(order_id))
    for payment in payments:
        checkout.finish(payment.pk, "declined")
    claim(item, buyer="g:carol")

    for payment in payments:
        checkout.finish(payment.pk, "paid")

    sync.drain(item.pk)
    states = [Order.objects.get(pk=pk).state for pk in orders]
    assert states == [OrderState.PAID, OrderState.CANCELLED]
    assert [p.state for p in Order.objects.get(pk=orders[1]).payments.all()] == [
        "refunded"
    ]


@pytest.mark.parametrize("restock", [True, False])
def test_a_refund_returns_units_only_when_the_merchant_says_so(sale_redis, restock):
    item = make_loaded_item(units=4)
    order_id = uuid4()
    claim(item, 3, order_id=order_id)
    checkout.finish(checkout.begin_payment(order_id).pk, "paid")

    checkout.refund(order_id, restock=restock)

    snapshot = counters.snapshot(item.pk)
    assert (snapshot.left, snapshot.units) == ((4, 4) if restock else (1, 1))
    stock = Stock.objects.get(pk=item.product_id)
    assert stock.on_hand == (10 if restock else 7)
    assert stock.allocated == snapshot.left


def test_a_refund_after_settlement_puts_units_on_the_shelf(sale_redis):
    item = make_loaded_item(units=4)
    order_id = uuid4()
    claim(item, 3, order_id=order_id)
    checkout.finish(checkout.begin_payment(order_id).pk, "paid")
    flash.end(item.sale_id)
    assert flash.settle(item.sale_id)

    checkout.refund(order_id, restock=True)
    checkout.refund(order_id, restock=True)

    stock = Stock.objects.get(pk=item.product_id)
    assert (stock.on_hand, stock.reserved, stock.allocated) == (10, 0, 0)


def test_nobody_is_admitted_while_a_sale_is_paused(sale_redis):
    item = make_loaded_item()
    flash.pause(item.sale_id)
    with pytest.raises(counters.ClaimRefused, match="paused"):
        claim(item)
    flash.resume(item.sale_id)
    assert claim(item).seq


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (FlashSale.State.DRAFT, flash.pause),
        (FlashSale.State.DRAFT, flash.end),
        (FlashSale.State.DRAFT, flash.preload),
        (FlashSale.State.LIVE, flash.cancel),
        (FlashSale.State.SETTLED, flash.schedule),
        (FlashSale.State.SCHEDULED, flash.resume),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_with_a_sentence(state, step):
    sale = make_sale(state=state)
    with pytest.raises(NotPossible, match=r"\w+ \w+ \w+"):
        step(sale.pk)
    assert FlashSale.objects.get(pk=sale.pk).state == state


@pytest.mark.parametrize(
    ("state", "opens_in", "expected"),
    [
        ("draft", 60, "not_started"),
        ("scheduled", 60, "not_started"),
        ("cancelled", 60, "ended"),
        ("cancelled", -60, "ended"),
    ],
)
def test_a_claim_of_a_sale_without_counters_is_told_where_it_stands(
    sale_redis, state, opens_in, expected
):
    item = make_item(sale=make_sale(state=state, opens_in=opens_in))
    with pytest.raises(counters.ClaimRefused, match=expected):
        claim(item)


def test_a_claim_of_a_sale_that_is_late_to_be_loaded_is_not_told_to_wait(sale_redis):
    item = make_item(sale=make_sale(state="scheduled", opens_in=-1))
    with pytest.raises(counters.NotLoaded):
        claim(item)


def test_an_id_that_another_order_has_makes_a_new_order_row(sale_redis):
    first, second = make_loaded_item(), make_loaded_item()
    order_id = uuid4()
    claim(first, order_id=order_id)
    claim(second, order_id=order_id)
    sync.drain(first.pk)
    sync.drain(second.pk)

    assert Order.objects.filter(claim_id=order_id).count() == 2
    assert FlashSaleItem.objects.get(pk=second.pk).poison_events == 0


def test_recovery_after_everything_is_lost_keeps_every_claim(sale_redis):
    item = make_loaded_item(units=6)
    drained, known_to_journal = uuid4(), uuid4()
    claim(item, 2, order_id=drained)
    sync.drain(item.pk)
    claim(item, 1, order_id=known_to_journal, buyer="g:bob")
    sale_redis.flushall()
    sale_redis.script_flush()
    with pytest.raises(counters.NotLoaded):
        claim(item)

    (outcome,) = recovery.open_fence()

    assert outcome.rebuilt, outcome
    snapshot = counters.snapshot(item.pk)
    assert (snapshot.left, snapshot.held, snapshot.epoch) == (3, 3, 2)
    assert claim(item, 2, order_id=drained).replayed
    assert claim(item, 1, order_id=known_to_journal, buyer="g:bob").replayed
    sync.drain(item.pk)
    assert set(Order.objects.values_list("pk", flat=True)) == {
        drained,
        known_to_journal,
    }


def test_recovery_of_whole_counters_drains_the_tail_and_goes_on(sale_redis):
    item = make_loaded_item(units=6)
    claim(item, 2)
    sale_redis.script_flush()

    (outcome,) = recovery.open_fence()

    assert not outcome.rebuilt
    assert Order.objects.count() == 1
    assert claim(item, buyer="g:bob").seq > 2


def test_raising_the_threshold_closes_the_counter_at_once(sale_redis):
    item = make_loaded_item(product=make_product(on_hand=10, safety_threshold=2))
    assert counters.snapshot(item.pk).floor == 2
    thresholds.change({item.product_id: thresholds.Levels(safety_threshold=9)})
    assert counters.snapshot(item.pk).floor == 9
    claim(item)
    with pytest.raises(counters.ClaimRefused, match="all_held"):
        claim(item, buyer="g:bob")
    thresholds.change({item.product_id: thresholds.Levels(safety_threshold=0)})
    assert counters.snapshot(item.pk).floor == 0


@pytest.mark.parametrize("outcome", ["pending", "paid", "declined"])
def test_recovery_repeats_the_steps_that_payments_prove(sale_redis, outcome):
    item = make_loaded_item(units=6)
    order_id = uuid4()
    claim(item, 2, order_id=order_id)
    sync.drain(item.pk)
    payment = checkout.begin_payment(order_id)
    if outcome != "pending":
        checkout.finish(payment.pk, outcome)
    sale_redis.flushall()
    sale_redis.script_flush()

    recovery.open_fence()

    s = counters.snapshot(item.pk)
    assert (s.left, s.held, s.paying, s.paid) == {
        "pending": (4, 0, 2, 0),
        "paid": (4, 0, 0, 2),
        "declined": (6, 0, 0, 0),
    }[outcome]


def test_a_sale_that_was_never_preloaded_is_cancelled_when_it_is_over():
    item = make_item(sale=make_sale(closes_in=-1, state=FlashSale.State.SCHEDULED))
    flash.advance()
    item.sale.refresh_from_db()
    assert item.sale.state == FlashSale.State.CANCELLED
