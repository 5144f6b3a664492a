"""What happens to items before Redis is lost, and how they stand after it."""

from uuid import uuid4

from sales import checkout, counters, flash
from sales.models import FlashSaleItem, Order


def claim(item, quantity=1, *, buyer="g:alice", order_id=None):
    order_id = order_id or uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=quantity)
    return order_id


def pay(order_id, outcome="paid"):
    payment = checkout.begin_payment(order_id)
    return checkout.finish(payment.pk, outcome)


def fresh(item):
    return FlashSaleItem.objects.get(pk=item.pk)


def lose(redis):
    """All keys and all scripts, as after a start from nothing."""
    redis.flushall()
    redis.script_flush()


def numbers(item):
    s = counters.snapshot(item.pk)
    return (s.left, s.held, s.paying, s.paid)


def state_of(order_id):
    return Order.objects.get(claim_id=order_id).state
