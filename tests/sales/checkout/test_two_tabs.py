"""Two tabs with the same order, right after its payment was declined."""

import time
from contextlib import ExitStack

import pytest

from sales import checkout, counters
from sales.models import FlashSaleItem, Payment
from sales.orders import NotPossible
from tests.sales.checkout.orders import order_of, state_of
from tests.threads import in_background

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def wait_for_paused(client, number):
    """Return when that many calls wait for Redis to go on."""
    deadline = time.monotonic() + 60
    while sum("b" in row["flags"] for row in client.client_list()) < number:
        assert time.monotonic() < deadline, client.client_list()
        time.sleep(0.005)


def in_this_order(client, *calls):
    """What the calls come to; Redis hears of one after the other, without a pause.

    Each may have one thing to say to Redis before what is asserted.
    """

    def run(call):
        try:
            with counters.patience(60):
                return call()
        except NotPossible as refused:
            return refused
        finally:
            counters.disconnect()

    client.client_pause(60_000, all=False)
    with ExitStack() as stack:
        futures = []
        stack.callback(client.client_unpause)
        for number, call in enumerate(calls, 1):
            futures += stack.enter_context(in_background(lambda call=call: run(call)))
            wait_for_paused(client, number)
        client.client_unpause()
        return [future.result() for future in futures]


def hold_again(order_id):
    """What "try again" does in Redis, in one step."""
    counters.reclaim(
        FlashSaleItem.objects.get().pk, epoch=1, order_id=order_id, target="held"
    )


def test_a_tab_that_comes_too_early_takes_nothing_from_the_one_after_it(
    client, sale_redis
):
    order_id, _ = order_of("flash")
    checkout.finish(checkout.begin_payment(order_id).pk, "declined")

    early, _held, payment = in_this_order(
        sale_redis,
        lambda: checkout.begin_payment(order_id),
        lambda: hold_again(order_id),
        lambda: checkout.begin_payment(order_id),
    )

    assert "try to claim it again" in str(early)
    assert state_of(order_id) == "paying"
    assert list(Payment.objects.filter(state="pending")) == [payment]
    assert client.get(checkout.payment_url(payment)).status_code == 200
    checkout.finish(payment.pk, "paid")
    assert state_of(order_id) == "paid"


def test_two_tabs_that_both_come_too_early_leave_no_payment_behind(sale_redis):
    order_id, _ = order_of("flash")
    checkout.finish(checkout.begin_payment(order_id).pk, "declined")

    outcomes = in_this_order(
        sale_redis, *[lambda: checkout.begin_payment(order_id)] * 2
    )

    assert all("try to claim it again" in str(outcome) for outcome in outcomes)
    assert [payment.state for payment in Payment.objects.all()] == ["declined"]
