"""What a buyer does in a waiting room."""

from uuid import uuid4

import pytest

from sales import (
    counters,
    flash,
    waiting_room,
)
from sales.counters import ClaimRefused


def claim(item, buyer, *, order_id=None, quantity=1):
    return flash.claim(
        item.pk, order_id=order_id or uuid4(), buyer=buyer, quantity=quantity
    )


def join(item, buyer):
    return waiting_room.join(waiting_room.of_sale(item.sale_id), buyer)


def look(item, buyer):
    return waiting_room.look(waiting_room.of_sale(item.sale_id), buyer)


def buy(item, buyer):
    """Claim and pay for one unit."""
    order_id = uuid4()
    claim(item, buyer, order_id=order_id)
    counters.begin_payment(item.pk, epoch=item.epoch, order_id=order_id)
    counters.confirm(item.pk, epoch=item.epoch, order_id=order_id)
    return order_id


def refusal(call, *args, **fields):
    with pytest.raises(ClaimRefused) as refused:
        call(*args, **fields)
    return refused.value.code
