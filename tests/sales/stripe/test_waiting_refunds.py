"""Refunds that Stripe does not take wait, ever longer, and a person is told once."""

from datetime import timedelta
from threading import Event

import pytest
from django.db import transaction
from django.utils import timezone

from catalog.models import Alert
from sales import checkout, payments
from sales.models import OrderState, Payment
from sales.orders import NotPossible
from tests.sales.stripe.calls import gateway, states
from tests.stripe_server import refusal
from tests.threads import in_background, run_at_once, wait_for_blocked

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
DISPUTED = refusal(
    "charge_disputed", "Charge ch_1 has been charged back; cannot issue a refund."
)
EMPTY = refusal("insufficient_funds", "Insufficient funds in your Stripe balance.")
ODD = refusal("charge_expired_for_capture", "The charge is too old to refund.")


@pytest.fixture
def paid(opened, account):
    """A payment of 29.97 that has come."""
    account.pay()
    checkout.ask(opened)
    return opened


@pytest.fixture
def waiting(paid, account):
    """The same, when its refund was refused for lack of money."""
    account.refusal = EMPTY
    checkout.refund(paid.order_id, restock=True)
    paid.refresh_from_db()
    return paid


def tries(account):
    return sum(path == "/v1/refunds" for _method, path, _form in account.calls)


def wait_and_try(payment):
    """Let the time pass that a refund waits, and what the tick does then."""
    checkout.follow_payments(payment.next_try_at)
    payment.refresh_from_db()


def test_a_refused_refund_waits_longer_each_time_and_is_never_given_up(
    waiting, account
):
    waits = []
    for _round in range(7):
        tried_at = waiting.next_try_at
        wait_and_try(waiting)
        waits.append((waiting.next_try_at - tried_at) // MINUTE)

    assert waits == [5, 30, 120, 480, 1440, 1440, 1440]
    assert (tries(account), waiting.attempts) == (8, 8)
    assert states(waiting) == ("refunded", OrderState.REFUNDED)


def test_before_its_time_nobody_asks_stripe_again(waiting, account):
    just_before = waiting.next_try_at - timedelta(seconds=1)

    checkout.follow_payments(just_before)
    checkout.finish(waiting.pk, "paid")  # the notification, once more
    checkout.refund(waiting.order_id, restock=True)  # a second click

    assert tries(account) == 1


def test_the_merchant_is_told_once_when_it_keeps_failing(waiting, account):
    wait_and_try(waiting)
    assert not Alert.objects.exists()

    wait_and_try(waiting)
    alert = Alert.objects.get()
    assert alert.kind == "payment"
    assert waiting.order.number in alert.text
    assert "not enough money in your Stripe balance" in alert.text
    Alert.objects.update(seen_at=timezone.now())
    for _round in range(3):
        wait_and_try(waiting)

    assert Alert.objects.count() == 1


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(DISPUTED, "Answer the dispute", id="disputed"),
        pytest.param(EMPTY, "Add some", id="empty"),
        pytest.param(ODD, "says: “The charge is too old to refund.”", id="odd"),
        pytest.param(
            (200, {"object": "refund", "id": "re_1", "status": "failed"}),
            "did not take the refund",
            id="failed",
        ),
    ],
)
def test_why_a_refund_waits_is_kept_as_a_sentence(paid, account, answer, sentence):
    account.refusal = answer

    checkout.refund(paid.order_id, restock=True)

    paid.refresh_from_db()
    assert sentence in paid.error
    assert (paid.attempts, paid.handled_at) == (1, None)


def test_a_refund_goes_out_once_the_reason_is_gone(waiting, account):
    account.refusal = None

    wait_and_try(waiting)
    checkout.follow_payments(waiting.handled_at + timedelta(days=2))

    assert list(account.refunds) == [account.session()["payment_intent"]]
    assert tries(account) == 2
    assert (waiting.error, waiting.next_try_at) == ("", None)


def test_what_was_refunded_at_stripe_already_counts_as_refunded(paid, account):
    account.refusal = refusal(
        "charge_already_refunded", "Charge ch_1 has already been refunded."
    )

    checkout.refund(paid.order_id, restock=True)

    assert states(paid) == ("refunded", OrderState.REFUNDED)
    assert (bool(paid.handled_at), paid.attempts) == (True, 0)


def test_a_refund_whose_answer_was_lost_is_not_made_twice(waiting, account):
    account.refusal = None
    wait_and_try(waiting)
    # As a crash leaves it that came after Stripe's answer and before our note.
    Payment.objects.update(handled_at=None, next_try_at=None)

    checkout.follow_payments(timezone.now())

    waiting.refresh_from_db()
    assert waiting.handled_at is not None
    assert (len(account.refunds), waiting.attempts) == (1, 1)


def test_a_provider_that_does_not_answer_is_asked_ever_more_seldom(paid, account):
    payments.GATEWAYS["stripe"] = gateway("http://127.0.0.1:9")

    checkout.refund(paid.order_id, restock=True)
    paid.refresh_from_db()
    for _round in range(2):
        wait_and_try(paid)

    assert "did not answer" in paid.error
    assert paid.attempts == 3
    assert Alert.objects.get().cause == f"refund:{paid.pk}"


def test_the_merchant_may_try_before_its_time(waiting, account):
    with pytest.raises(NotPossible, match="not enough money"):
        checkout.try_refunds(waiting.order_id)
    account.refusal = None
    checkout.try_refunds(waiting.order_id)
    checkout.try_refunds(waiting.order_id)  # a second click

    waiting.refresh_from_db()
    assert waiting.handled_at is not None
    assert (tries(account), len(account.refunds)) == (3, 1)


@pytest.mark.django_db(transaction=True)
def test_two_workers_make_one_try_of_a_refund(waiting, account):
    at = waiting.next_try_at

    run_at_once(lambda _: checkout.follow_payments(at), range(4))

    waiting.refresh_from_db()
    assert (tries(account), waiting.attempts) == (2, 2)


@pytest.mark.django_db(transaction=True)
def test_a_click_while_a_worker_tries_waits_for_its_end(waiting, account):
    is_locked = Event()

    def click():
        is_locked.wait(60)
        checkout.follow_payments(waiting.next_try_at)  # passes by what is tried now
        checkout.try_refunds(waiting.order_id)

    with in_background(click), transaction.atomic():
        row = Payment.objects.select_for_update(no_key=True).get(pk=waiting.pk)
        is_locked.set()
        wait_for_blocked(1)
        row.handled_at = timezone.now()
        row.save()

    assert tries(account) == 1
