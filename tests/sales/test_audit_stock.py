"""manage.py audit_stock prints the verdict, and repairs the ledger only when told."""

import json
from contextlib import ExitStack
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from catalog import stock
from catalog.models import StatusChange, Stock, StockMovement
from sales import audit, counters, flash, ledger, orders, sync
from sales.models import FlashSaleItem, Order, OrderState
from tests.catalog.ledger import assert_ledger_explains
from tests.factories import make_loaded_item, make_product
from tests.threads import in_background, wait_for_blocked

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def run(*options):
    """What the command prints, and its exit status."""
    out = StringIO()
    try:
        call_command("audit_stock", *options, stdout=out, stderr=out)
    except CommandError as error:
        return out.getvalue() + str(error), error.returncode
    return out.getvalue(), 0


def place(product, quantity):
    contact = orders.Contact("ada@example.com")
    return orders.place(uuid4(), [(product.pk, quantity)], contact=contact)


def quantities(product):
    row = Stock.objects.get(pk=product.pk)
    return row.on_hand, row.reserved, row.allocated


def test_every_invariant_is_printed_with_its_numbers(sale_redis):
    item = make_loaded_item(units=4)
    flash.claim(item.pk, order_id=uuid4(), buyer="g:alice", quantity=3)

    out, status = run()

    assert status == 0
    assert "units 4, left 1, held 3, paying 0, paid 0" in out
    assert "VIOLATED" not in out
    assert "Everything holds" in out


def test_drift_is_exit_status_1_with_the_first_difference():
    product = make_product(on_hand=4)
    Stock.objects.filter(pk=product.pk).update(on_hand=3)

    out, status = run()

    assert status == 1
    assert f"{product.sku}: 3 on hand" in out
    assert "1 of 3 checks do not hold" in out


def test_what_cannot_be_checked_is_exit_status_2(sale_redis):
    item = make_loaded_item()
    counters.delete(item.pk)

    out, status = run()

    assert status == 2
    assert "not checked" in out


def test_json_carries_the_same():
    out, status = run("--json")

    told = json.loads(out)
    assert status == 0
    assert told["verdict"] == "holds"
    assert {f["invariant"] for f in told["findings"]} == {5, 9, 10}


def test_an_empty_shop_has_nothing_to_repair():
    out, status = run("--repair", "--yes")
    assert status == 0
    assert "Nothing to repair" in out


def test_yes_alone_is_refused_with_a_sentence():
    assert run("--yes")[0] == "--yes says yes to --repair; give both."


def test_a_repair_is_proposed_and_not_made_without_yes():
    product = make_product(on_hand=4)
    Stock.objects.filter(pk=product.pk).update(on_hand=3)

    out, status = run("--repair")

    assert status == 1
    assert f"{product.sku}: book a repair of -1 on hand, +0 reserved" in out
    assert "To book this: audit_stock --repair --yes" in out
    assert not StockMovement.objects.filter(kind="repair").exists()


def test_what_is_on_hand_is_believed_and_the_ledger_follows():
    product = make_product(on_hand=4)
    place(product, 1)
    Stock.objects.filter(pk=product.pk).update(on_hand=3)

    out, status = run("--repair", "--yes")

    assert status == 0, out
    assert quantities(product) == (3, 1, 0)
    movement = StockMovement.objects.get(kind="repair")
    assert (movement.on_hand_delta, movement.reserved_delta) == (-1, 0)
    assert movement.reason == "audit_stock --repair"
    assert_ledger_explains(product)


def test_promises_are_worked_out_from_open_orders_and_loaded_sales(sale_redis):
    product = make_product(on_hand=9)
    item = make_loaded_item(product=product, units=4)
    flash.claim(item.pk, order_id=uuid4(), buyer="g:alice", quantity=1)
    sync.drain(item.pk)
    place(product, 2)
    Stock.objects.filter(pk=product.pk).update(reserved=0, allocated=0)

    out, status = run("--repair", "--yes")

    assert status == 0, out
    assert quantities(product) == (9, 3, 3)
    assert_ledger_explains(product)


def test_a_rogue_ledger_entry_is_answered_by_another():
    product = make_product(on_hand=5)
    StockMovement.objects.create(
        product=product,
        kind="receipt",
        on_hand_delta=2,
        on_hand_after=7,
        reserved_after=0,
        allocated_after=0,
    )

    assert run("--repair", "--yes")[1] == 0

    assert quantities(product) == (5, 0, 0)
    assert StockMovement.objects.filter(product=product).count() == 3


def test_a_repair_that_changes_what_is_reserved_records_the_status_change():
    product = make_product(on_hand=2)
    Stock.objects.filter(pk=product.pk).update(reserved=2)
    stock.record_flips(
        {product.pk: "in_stock"}, Stock.objects.filter(pk=product.pk), cause="test"
    )

    assert run("--repair", "--yes")[1] == 0

    last = StatusChange.objects.filter(product=product).first()
    assert (last.from_status, last.to_status) == ("out_of_stock", "in_stock")


def test_more_promised_than_there_is_is_explained_and_left_alone():
    product = make_product(on_hand=4)
    place(product, 3)
    Stock.objects.filter(pk=product.pk).update(on_hand=2, reserved=0)

    out, status = run("--repair", "--yes")

    assert status == 1
    assert f"{product.sku}: not repaired: 3 units are promised and 2 are on hand" in out
    assert quantities(product) == (2, 0, 0)


def test_what_an_item_in_doubt_has_left_is_not_booked(sale_redis):
    item = make_loaded_item(units=4)
    sync.drain(item.pk)
    FlashSaleItem.objects.filter(pk=item.pk).update(left=3, units=3)

    out, status = run("--repair", "--yes")

    assert status == 1
    assert "differs from its own events; put that right first" in out
    assert Stock.objects.get(pk=item.product_id).allocated == 4


def test_an_item_goes_on_when_told_and_only_if_it_was_paused(sale_redis):
    item = make_loaded_item()
    out, status = run("--resume", str(item.pk))
    assert (out, status) == (f"Item {item.pk} is not paused by the audit.", 1)

    audit.pause_item(item.pk, "Invariant 3: too much")
    out, status = run("--resume", str(item.pk))

    assert out.startswith(f"Item {item.pk} goes on. It was paused because of: Inv")
    assert flash.claim(item.pk, order_id=uuid4(), buyer="g:alice", quantity=1)


def test_a_repair_looks_again_under_the_lock():
    product = make_product(on_hand=6)
    order = place(product, 2)
    Stock.objects.filter(pk=product.pk).update(reserved=5)

    def repair():
        done, _refused = ledger.repair([product.pk])
        assert [found.true.reserved for found in done] == [0]

    with ExitStack() as stack, transaction.atomic():
        stock_row = stock.lock([product.pk])[product.pk]
        stack.enter_context(in_background(repair))
        orders.cancel(order.pk)
        wait_for_blocked(1)

    assert stock_row.reserved == 5
    assert quantities(product)[1] == 0
    assert Order.objects.get().state == OrderState.CANCELLED
    assert not ledger.differences()
