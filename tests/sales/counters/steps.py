"""Claims in every state, and each step a script makes."""

from uuid import uuid4

import pytest

from sales import counters

ITEM = 1
TRILLION = 10**12


def claim(quantity=1, *, buyer="g:alice", order_id=None, epoch=1):
    return counters.claim(
        ITEM, epoch=epoch, order_id=order_id or uuid4(), buyer=buyer, quantity=quantity
    )


def held(quantity=1, **fields):
    """The id of a new held claim."""
    order_id = uuid4()
    claim(quantity, order_id=order_id, **fields)
    return order_id


def paying(quantity=1, **fields):
    order_id = held(quantity, **fields)
    counters.begin_payment(ITEM, epoch=1, order_id=order_id)
    return order_id


def paid(quantity=1, **fields):
    order_id = paying(quantity, **fields)
    counters.confirm(ITEM, epoch=1, order_id=order_id)
    return order_id


def released(quantity=1, **fields):
    order_id = held(quantity, **fields)
    counters.release(ITEM, epoch=1, order_id=order_id, reason="cancelled")
    return order_id


def refunded(quantity=1, *, restock=True, **fields):
    order_id = paid(quantity, **fields)
    counters.refund(ITEM, epoch=1, order_id=order_id, restock=restock)
    return order_id


def adjust(ref="", **changes):
    return counters.adjust(ITEM, epoch=1, ref=ref, **changes)


# Each step of a claim or an item, as its callers make it.
STEPS = {
    "claim": lambda order_id=None, epoch=1: claim(order_id=order_id, epoch=epoch),
    "begin_payment": lambda order_id=None, epoch=1: counters.begin_payment(
        ITEM, epoch=epoch, order_id=order_id or uuid4()
    ),
    "confirm": lambda order_id=None, epoch=1: counters.confirm(
        ITEM, epoch=epoch, order_id=order_id or uuid4()
    ),
    "release": lambda order_id=None, epoch=1: counters.release(
        ITEM, epoch=epoch, order_id=order_id or uuid4(), reason="cancelled"
    ),
    "refund": lambda order_id=None, epoch=1: counters.refund(
        ITEM, epoch=epoch, order_id=order_id or uuid4(), restock=True
    ),
    "reclaim": lambda order_id=None, epoch=1: counters.reclaim(
        ITEM, epoch=epoch, order_id=order_id or uuid4(), target="held"
    ),
    "adjust": lambda order_id=None, epoch=1: counters.adjust(
        ITEM, epoch=epoch, limit=3
    ),
}
OF_A_CLAIM = sorted(STEPS.keys() - {"adjust", "claim"})
each_step = pytest.mark.parametrize("step", sorted(STEPS))


def everything(redis):
    """All that Redis holds of the item, to compare before and after."""
    kinds = {"hash": redis.hgetall, "stream": redis.xrange, "none": lambda key: None}
    return {key: kinds[redis.type(key)](key) for key in counters.keys(ITEM)}
