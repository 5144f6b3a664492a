from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from sales import checkout, counters, flash, holds, sync
from sales.models import Order
from tests.factories import make_loaded_item, make_order, make_product

pytestmark = [
    pytest.mark.redis,
    pytest.mark.django_db,
    pytest.mark.usefixtures("sale_redis"),
]


def buy(client, item, quantity=1):
    """Claim units as this browser; the order's id."""
    order_id = uuid4()
    url = f"/flash/{item.sale.slug}/{item.pk}/claim/"
    response = client.post(url, {"order_id": order_id, "quantity": quantity})
    assert response["Location"] == f"/orders/{order_id}/"
    return order_id


def held(client):
    return client.get("/cart/").context["holds"]


def test_a_hold_stands_in_the_cart_apart_from_its_lines(client):
    item = make_loaded_item(limit=3)
    client.post(f"/cart/add/{make_product('Kite').pk}/", {"quantity": 2})
    order_id = buy(client, item, 3)

    page = client.get("/cart/")

    (hold,) = page.context["holds"]
    assert (hold.order_id, hold.quantity, hold.total) == (order_id, 3, 15)
    assert [line.quantity for line in page.context["lines"]] == [2]
    assert f'href="/orders/{order_id}/"' in page.text
    assert "data-until" in page.text


def test_a_hold_is_the_same_before_and_after_it_is_recorded(client):
    item = make_loaded_item(limit=3)
    buy(client, item, 2)
    (before,) = held(client)

    sync.drain(item.pk)
    (after,) = held(client)

    assert Order.objects.exists()
    assert before == after


def test_what_is_over_paid_or_given_back_is_no_hold(client):
    first, second, third = (make_loaded_item() for _ in range(3))
    given_back, expired = buy(client, first), buy(client, second)
    buy(client, third)
    checkout.cancel(given_back)
    for item in (second, third):
        sync.drain(item.pk)
    soon = timezone.now() - timedelta(seconds=1)
    Order.objects.filter(pk=expired).update(expires_at=soon)

    assert [hold.item for hold in held(client)] == [third]


def test_regular_orders_are_no_holds_of_a_sale(client):
    user = User.objects.create_user("ann@shop.test", "ann@shop.test")
    make_order(user=user)
    client.force_login(user)

    assert held(client) == []


def test_an_account_sees_its_holds_in_every_browser_and_nobody_elses(client):
    ann = User.objects.create_user("ann@shop.test", "ann@shop.test")
    bob = User.objects.create_user("bob@shop.test", "bob@shop.test")
    order_id = uuid4()
    item = make_loaded_item()
    flash.claim(item.pk, order_id=order_id, buyer=f"u:{ann.pk}", quantity=1)
    sync.drain(item.pk)
    now = timezone.now()

    assert [hold.order_id for hold in holds.of(ann, {}, now=now)] == [order_id]
    assert holds.of(bob, {}, now=now) == []
    assert holds.of(bob, {item.pk: order_id}, now=now) == []


def test_giving_back_from_the_cart_leads_to_the_cart(client):
    item = make_loaded_item()
    order_id = buy(client, item)

    response = client.post(f"/orders/{order_id}/cancel/", {"back": "cart"}, follow=True)

    assert response.redirect_chain == [("/cart/", 302)]
    assert "The units went back" in response.text
    assert response.context["holds"] == []
    assert counters.snapshot(item.pk).held == 0


def test_a_payment_under_way_is_shown_and_cannot_be_given_back(client):
    item = make_loaded_item()
    order_id = buy(client, item)
    sync.drain(item.pk)
    checkout.begin_payment(order_id)
    sync.drain(item.pk)

    page = client.get("/cart/")

    assert page.context["holds"][0].is_paying
    assert "Go on with the payment" in page.text
    assert "Give back" not in page.text


def test_the_cart_opens_while_redis_does_not_answer(client, sale_redis):
    item = make_loaded_item()
    buy(client, item)
    sale_redis.script_flush()

    assert held(client) == []


def test_holds_cost_a_guest_without_claims_no_query(client, django_assert_num_queries):
    client.get("/cart/")
    with django_assert_num_queries(0):
        client.get("/cart/")


def test_holds_cost_the_same_queries_however_many(
    client, django_assert_max_num_queries
):
    items = [make_loaded_item() for _ in range(4)]
    for item in items:
        buy(client, item)
        sync.drain(item.pk)

    with django_assert_max_num_queries(2):
        assert len(held(client)) == 4
