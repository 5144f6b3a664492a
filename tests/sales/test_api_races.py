"""Many buyers at once over HTTP, through the example client; nothing is oversold."""

import random
from uuid import uuid4

import pytest
from django.db.models import Sum

from catalog.models import Stock
from examples.holdfast_client import ApiError, Holdfast
from sales import counters, flash, sync, tokens
from sales.models import Order, OrderLine
from tests.factories import make_loaded_item, make_product
from tests.threads import run_at_once

pytestmark = [
    pytest.mark.redis,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sale_redis"),
]


@pytest.fixture
def clients(live_server):
    """`clients(n)`: so many guests of the live server, each with its connection."""
    made = []

    def make(number, token=""):
        for _ in range(number):
            fresh = Holdfast(
                live_server.url, token or tokens.new_guest()[0], timeout=60
            )
            made.append(fresh)
        return made[-number:]

    yield make
    for client in made:
        client.close()


def order(guest, sku, quantity):
    """The order, or the refusal."""
    try:
        cart = guest.create_cart()
        guest.put(cart["id"], sku, quantity)
        return guest.place_order(cart["id"], "buyer@example.com")
    except ApiError as error:
        return error


def claim(guest, item, quantity):
    """The claim, or the refusal."""
    try:
        return guest.claim(item.sale_id, item.product.sku, quantity)
    except ApiError as error:
        return error


def pay(guest, order_id):
    """The word of the test provider on a payment of the whole order."""
    payment = guest.begin_payment(order_id)
    return guest.decide_test_payment(payment["payment_id"], "paid")["state"]


def split(outcomes):
    refused = [one for one in outcomes if isinstance(one, ApiError)]
    return [one for one in outcomes if not isinstance(one, ApiError)], refused


def test_50_buyers_of_5_units_above_the_threshold_make_5_orders(clients):
    product = make_product(on_hand=7, safety_threshold=2)

    guests = clients(50)
    outcomes = run_at_once(lambda guest: order(guest, product.sku, 1), guests)

    placed, refused = split(outcomes)
    assert len(placed) == Order.objects.count() == 5
    assert {error.code for error in refused} == {"insufficient_stock"}
    assert {error.problem["lines"][0]["sellable"] for error in refused} == {0}
    for guest, one in zip(guests, outcomes, strict=True):
        assert one in refused or pay(guest, one["id"]) == "paid"
    stock = Stock.objects.get()
    assert (stock.on_hand, stock.reserved) == (2, 0)
    assert stock.status == "out_of_stock"


def test_50_buyers_of_5_claims_above_the_threshold_get_5(clients):
    product = make_product(on_hand=7, safety_threshold=2)
    item = make_loaded_item(product=product, limit=1)

    guests = clients(50)
    outcomes = run_at_once(lambda guest: claim(guest, item, 1), guests)

    held, refused = split(outcomes)
    assert len(held) == 5
    assert {error.code for error in refused} == {"all_held"}
    assert {error.problem["left"] for error in refused} == {0}
    assert sorted(one["left"] for one in held) == [0, 1, 2, 3, 4]
    for guest, one in zip(guests, outcomes, strict=True):
        assert one in refused or pay(guest, one["order_id"]) == "paid"
    assert flash.live([item.pk])[item.pk].state == "sold_out"
    sync.drain(item.pk)
    assert Stock.objects.get().on_hand == 2


@pytest.mark.parametrize("seed", [1, 12])
def test_10_buyers_of_1_to_3_units_never_share_more_than_10_orders(clients, seed):
    product = make_product(on_hand=10)
    wanted = [random.Random(seed + n).randint(1, 3) for n in range(10)]

    pairs = zip(clients(10), wanted, strict=True)
    outcomes = run_at_once(lambda pair: order(pair[0], product.sku, pair[1]), pairs)

    placed, refused = split(outcomes)
    sold = sum(line["quantity"] for one in placed for line in one["lines"])
    stock = Stock.objects.get()
    assert sold == stock.reserved == _ordered() <= 10
    assert stock.sellable == 10 - sold
    for error in refused:
        (line,) = error.problem["lines"]
        assert 0 <= line["sellable"] < line["requested"]
    missed = [n for n, one in zip(wanted, outcomes, strict=True) if one in refused]
    assert all(n > stock.sellable for n in missed)


@pytest.mark.parametrize("seed", [1, 12])
def test_10_buyers_of_1_to_3_units_never_share_more_than_10_claims(clients, seed):
    item = make_loaded_item(product=make_product(on_hand=10), limit=3)
    wanted = [random.Random(seed + n).randint(1, 3) for n in range(10)]

    pairs = zip(clients(10), wanted, strict=True)
    outcomes = run_at_once(lambda pair: claim(pair[0], item, pair[1]), pairs)

    held, refused = split(outcomes)
    snapshot = counters.snapshot(item.pk)
    assert snapshot.held == 10 - snapshot.left <= 10
    assert {error.code for error in refused} <= {"sold_out", "all_held"}
    missed = [
        (n, one) for n, one in zip(wanted, outcomes, strict=True) if one in refused
    ]
    assert all(0 <= one.problem["left"] < n for n, one in missed)
    assert all(n > snapshot.left for n, _one in missed)
    sync.drain(item.pk)
    assert _ordered() == snapshot.held
    assert len(held) + len(refused) == 10


@pytest.mark.parametrize("kind", ["order", "claim"])
def test_one_key_sent_ten_times_at_once_takes_its_units_once(clients, kind):
    item = make_loaded_item(product=make_product(on_hand=9), units=5)
    (guest,), key = clients(1), uuid4()
    cart = guest.create_cart()["id"]
    guest.put(cart, item.product.sku, 2)

    def send(again):
        if kind == "order":
            return again.place_order(cart, "a@example.com", key=key)
        return again.claim(item.sale_id, item.product.sku, 2, key=key)

    answers = run_at_once(send, clients(10, guest.token))

    assert all(answer == answers[0] for answer in answers)
    sync.drain(item.pk)
    assert list(Order.objects.values_list("pk", flat=True)) == [key]
    assert Stock.objects.get().reserved == 2


def _ordered():
    return OrderLine.objects.aggregate(sum=Sum("quantity"))["sum"] or 0
