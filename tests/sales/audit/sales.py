"""Sales in which something has happened."""

from uuid import uuid4

from django.db import connection

from sales import checkout, flash, sync
from tests.factories import make_loaded_item


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
