"""An item that is all taken, and people who wait for it."""

from itertools import count
from uuid import uuid4

import pytest
from django.utils import timezone

from sales import checkout, counters, flash, sync, waiting_list
from sales.waiting_list import JoinRefused
from tests.factories import make_loaded_item

_number = count(1)


def make_full_item(*, units=1, paid=False, **fields):
    """An item whose units are all held, or paid, and the order id of each."""
    item = make_loaded_item(units=units, **fields)
    held = []
    for _ in range(units):
        order_id = uuid4()
        flash.claim(item.pk, order_id=order_id, buyer=f"g:{order_id}", quantity=1)
        held.append(order_id)
        if paid:
            checkout.finish(checkout.begin_payment(order_id).pk, "paid")
    sync.drain(item.pk)
    return item, held


def join(item, *, buyer="", quantity=1, email="", user=None):
    """The entry of somebody new in line."""
    name = f"w{next(_number)}"
    return waiting_list.join(
        item.pk,
        buyer=buyer or f"g:{name}",
        quantity=quantity,
        email=email or f"{name}@shop.test",
        user=user,
    ).entry


def tick():
    """What a tick does, half a second later."""
    for item_id in sync.behind():
        sync.drain(item_id)
    return waiting_list.serve(timezone.now())


def states(*entries):
    for entry in entries:
        entry.refresh_from_db()
    return [entry.state for entry in entries]


def kept(item):
    return counters.snapshot(item.pk).waiting


def refusal(call):
    with pytest.raises(JoinRefused) as refused:
        call()
    return refused.value.code, refused.value.detail
