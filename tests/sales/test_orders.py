"""Regular orders: held, paid, cancelled, expired, refunded; repeats and races."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from catalog import stock
from catalog.models import StatusChange, Stock, StockMovement
from sales import orders
from sales.models import Order, OrderEvent, OrderLine, OrderState
from sales.orders import NotPossible, OrderConflict
from tests.catalog.ledger import assert_ledger_explains
from tests.factories import make_product
from tests.threads import run_at_once

pytestmark = pytest.mark.django_db

CONTACT = orders.Contact(email="alice@example.com")
LATER = timedelta(hours=1)


def place(*lines, order_id=None, contact=CONTACT):
    wanted = [(product.pk, quantity) for product, quantity in lines]
    return orders.place(order_id or uuid4(), wanted, contact=contact)


def make_due_orders(number, *products):
    """Held orders that are due, one unit of each product, written at once."""
    rows = [
        Order(expires_at=timezone.now() - LATER, email="a@example.com")
        for _ in range(number)
    ]
    Order.objects.bulk_create(rows)
    OrderLine.objects.bulk_create(
        OrderLine(
            order=order, product=product, sku=product.sku, name="x", quantity=1, price=1
        )
        for order in rows
        for product in products
    )
    for product in products:
        stock.reserve({product.pk: number}, note=stock.Note(cause="test"))
    return rows


class TestPlace:
    def test_an_order_holds_its_units_until_its_end(self):
        product = make_product(on_hand=10)
        order = place((product, 3))
        row = Stock.objects.get(pk=product.pk)
        assert (row.on_hand, row.reserved) == (10, 3)
        assert (order.state, order.total) == (OrderState.HELD, 3 * product.price)
        assert order.expires_at > timezone.now()
        assert_ledger_explains(product)

    def test_lines_of_one_product_are_summed_before_the_check(self):
        product = make_product(on_hand=5, safety_threshold=2)
        with pytest.raises(stock.InsufficientStock) as short:
            place((product, 2), (product, 2))
        assert short.value.shortages[0].requested == 4
        assert place((product, 2), (product, 1)).lines.get().quantity == 3

    def test_every_short_line_is_named_and_nothing_is_taken(self):
        plenty, few, none = (make_product(on_hand=n) for n in (9, 2, 0))
        with pytest.raises(stock.InsufficientStock) as short:
            place((plenty, 3), (few, 3), (none, 3))
        assert {s.product_id for s in short.value.shortages} == {few.pk, none.pk}
        assert Order.objects.count() == 0
        assert Stock.objects.get(pk=plenty.pk).reserved == 0

    def test_the_same_id_gives_the_same_order(self):
        product = make_product()
        first = place((product, 2))
        assert place((product, 2), order_id=first.pk) == first
        assert Stock.objects.get(pk=product.pk).reserved == 2

    @pytest.mark.parametrize("other", ["lines", "email"])
    def test_the_same_id_with_other_content_is_a_conflict(self, other):
        product = make_product()
        first = place((product, 2))
        contact = (
            orders.Contact(email="bob@example.com") if other == "email" else CONTACT
        )
        with pytest.raises(OrderConflict):
            place(
                (product, 1 if other == "lines" else 2),
                order_id=first.pk,
                contact=contact,
            )

    def test_nothing_is_no_order(self):
        with pytest.raises(orders.EmptyOrder):
            place()

    def test_a_product_that_is_not_for_sale_is_not_sold(self):
        product = make_product()
        type(product).objects.filter(pk=product.pk).update(is_published=False)
        with pytest.raises(stock.InsufficientStock):
            place((product, 1))


class TestSteps:
    def test_payment_begins_is_confirmed_and_takes_the_units(self):
        product = make_product(on_hand=10)
        order = place((product, 4))
        for _ in range(2):
            assert orders.begin_payment(order.pk).state == OrderState.PAYING
        for _ in range(2):
            assert orders.confirm(order.pk).state == OrderState.PAID
        row = Stock.objects.get(pk=product.pk)
        assert (row.on_hand, row.reserved) == (6, 0)
        assert Order.objects.get(pk=order.pk).paid_at
        assert_ledger_explains(product)

    def test_payment_cannot_begin_when_the_hold_has_ended(self):
        order = place((make_product(), 1))
        with pytest.raises(NotPossible, match="order again"):
            orders.begin_payment(order.pk, now=timezone.now() + LATER)

    def test_what_is_in_payment_cannot_be_cancelled(self):
        order = place((make_product(), 1))
        orders.begin_payment(order.pk)
        with pytest.raises(NotPossible, match="refunded"):
            orders.cancel(order.pk)
        assert orders.release_payment(order.pk).state == OrderState.CANCELLED

    def test_a_cancelled_order_gives_its_units_back_once(self):
        product = make_product(on_hand=5)
        order = place((product, 5))
        for _ in range(2):
            orders.cancel(order.pk)
        assert Stock.objects.get(pk=product.pk).reserved == 0
        statuses = StatusChange.objects.filter(product=product)
        assert [s.to_status for s in statuses.order_by("pk")] == [
            "out_of_stock",
            "in_stock",
        ]

    @pytest.mark.parametrize("restock", [True, False])
    def test_a_refund_puts_units_back_only_if_told_to(self, restock):
        product = make_product(on_hand=5)
        order = place((product, 2))
        orders.begin_payment(order.pk)
        orders.confirm(order.pk)
        for _ in range(2):
            orders.refund(order.pk, restock=restock)
        assert Stock.objects.get(pk=product.pk).on_hand == (5 if restock else 3)
        assert_ledger_explains(product)

    def test_only_a_paid_order_can_be_refunded(self):
        order = place((make_product(), 1))
        with pytest.raises(NotPossible, match="paid"):
            orders.refund(order.pk, restock=True)

    def test_money_that_comes_late_takes_units_again_if_there_are_any(self):
        product = make_product(on_hand=2)
        first, second = place((product, 1)), place((product, 1))
        for order in (first, second):
            orders.cancel(order.pk)
        place((product, 1))
        assert orders.take_for_payment(first.pk).state == OrderState.PAYING
        with pytest.raises(stock.InsufficientStock):
            orders.take_for_payment(second.pk)


class TestExpiry:
    def test_only_what_is_due_expires(self):
        product = make_product(on_hand=10)
        (due,) = make_due_orders(1, product)
        held, paying = place((product, 1)), place((product, 1))
        orders.begin_payment(paying.pk)
        Order.objects.filter(pk=paying.pk).update(expires_at=timezone.now() - LATER)

        assert orders.expire_due(timezone.now()) == 1
        assert orders.expire_due(timezone.now()) == 0

        states = dict(Order.objects.values_list("pk", "state"))
        assert states == {due.pk: "expired", held.pk: "held", paying.pk: "paying"}
        assert Stock.objects.get(pk=product.pk).reserved == 2
        assert_ledger_explains(product)

    def test_each_order_has_its_line_in_ledger_and_timeline(self):
        one, two = make_product(), make_product()
        rows = make_due_orders(3, one, two)

        orders.expire_due(timezone.now())

        for order in rows:
            causes = StockMovement.objects.filter(cause=f"order:{order.pk}")
            assert {m.product_id: m.reserved_delta for m in causes} == {
                one.pk: -1,
                two.pk: -1,
            }
            assert OrderEvent.objects.get(order=order).state == "expired"
            assert Order.objects.get(pk=order.pk).closed_at
        assert_ledger_explains(one)
        assert_ledger_explains(two)

    def test_a_product_comes_back_once_although_many_orders_expire(self):
        product = make_product(on_hand=3)
        make_due_orders(3, product)
        orders.expire_due(timezone.now())
        back = StatusChange.objects.filter(product=product, to_status="in_stock")
        assert back.count() == 1

    def test_bad_rows_do_not_stop_the_others(self):
        good, bad = make_product(on_hand=20), make_product(on_hand=20)
        make_due_orders(9, good)
        make_due_orders(2, bad)
        make_due_orders(4, good)
        # More than is reserved: releasing it cannot be right.
        OrderLine.objects.filter(product=bad).update(quantity=9)

        assert orders.expire_due(timezone.now()) == 13

        assert Stock.objects.get(pk=good.pk).reserved == 0
        assert Stock.objects.get(pk=bad.pk).reserved == 2
        assert Order.objects.filter(state="held").count() == 2
        assert_ledger_explains(good)
        assert_ledger_explains(bad)

    def test_a_thousand_due_orders_take_a_fixed_number_of_queries(self):
        product = make_product(on_hand=2000)

        def queries(number):
            make_due_orders(number, product)
            with CaptureQueriesContext(
                connection,
            ) as captured:
                assert orders.expire_due(timezone.now()) == number
            return len(captured)

        few, many = queries(10), queries(1000)
        assert many <= few + 2


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_confirm_expire_and_cancel_at_once_have_one_winner(self):
        product = make_product(on_hand=10)
        for _ in range(5):
            order = place((product, 1))
            Order.objects.filter(pk=order.pk).update(expires_at=timezone.now() - LATER)

            def step(name, order=order):
                steps = {
                    "expire": lambda: orders.expire_due(timezone.now()),
                    "cancel": lambda: orders.cancel(order.pk),
                    "pay": lambda: orders.begin_payment(
                        order.pk, now=timezone.now() - 2 * LATER
                    ),
                }
                try:
                    return steps[name]()
                except NotPossible:
                    return None

            run_at_once(step, ["expire", "cancel", "pay"])

            order.refresh_from_db()
            reserved = Stock.objects.get(pk=product.pk).reserved
            assert reserved == Order.objects.filter(state="paying").count()
        assert_ledger_explains(product)

    def test_two_expiry_runs_release_each_order_once(self):
        product = make_product(on_hand=200)
        make_due_orders(100, product)

        expired = run_at_once(lambda _: orders.expire_due(timezone.now()), range(4))

        assert sum(expired) + orders.expire_due(timezone.now()) == 100
        assert Stock.objects.get(pk=product.pk).reserved == 0
        assert_ledger_explains(product)

    def test_a_locked_order_is_left_for_the_next_run(self):
        product = make_product(on_hand=10)
        first, _second = make_due_orders(2, product)
        with transaction.atomic():
            Order.objects.select_for_update().get(pk=first.pk)
            (expired,) = run_at_once(lambda _: orders.expire_due(timezone.now()), [0])
        assert expired == 1
        assert orders.expire_due(timezone.now()) == 1

    def test_the_same_id_at_once_makes_one_order(self):
        product = make_product(on_hand=100)
        order_id = uuid4()

        found = run_at_once(
            lambda _: place((product, 3), order_id=order_id).pk, range(10)
        )

        assert set(found) == {order_id}
        assert Stock.objects.get(pk=product.pk).reserved == 3
