"""A claim of somebody who holds units already."""

from uuid import uuid4

import pytest

from sales import checkout, counters, flash
from sales.checkout import changing
from tests.factories import make_loaded_item
from tests.sales.flash_pages.calls import claim

pytestmark = pytest.mark.django_db


def hold_one(client, item):
    """A first claim of this browser; returns its order id."""
    order_id = uuid4()
    assert claim(client, item, order_id=order_id).status_code == 302
    return order_id


def test_another_claim_while_holding_is_asked_about(client, sale_redis):
    item = make_loaded_item(units=5, limit=3)
    held = hold_one(client, item)

    response = claim(client, item, quantity=2, htmx=True)

    assert response.status_code == 409
    assert "You hold 1 of these already." in response.text
    assert f'name="instead_of" value="{held}"' in response.text
    assert counters.snapshot(item.pk).held == 1


def test_the_question_needs_no_scripts(client, sale_redis):
    item = make_loaded_item(units=5, limit=3)
    held = hold_one(client, item)

    asked = claim(client, item, quantity=2)

    page = client.get(asked["Location"]).text
    assert "Change to this number" in page
    assert f'name="instead_of" value="{held}"' in page


@pytest.mark.parametrize("headers", [False, True], ids=["plain", "htmx"])
def test_a_hold_is_changed_and_not_counted_twice(client, sale_redis, headers):
    item = make_loaded_item(units=5, limit=3)
    held, new = hold_one(client, item), uuid4()

    response = claim(
        client, item, order_id=new, quantity=3, instead_of=held, htmx=headers
    )

    there = response["HX-Redirect"] if headers else response["Location"]
    assert there == f"/orders/{new}/"
    assert counters.snapshot(item.pk).held == 3
    assert counters.find(item.pk, held).state == "cancelled"


def test_the_same_form_twice_is_one_change(client, sale_redis):
    item = make_loaded_item(units=5, limit=3)
    held, new = hold_one(client, item), uuid4()

    for _ in range(2):
        response = claim(client, item, order_id=new, quantity=2, instead_of=held)

    assert response["Location"] == f"/orders/{new}/"
    assert counters.snapshot(item.pk).held == 2


def test_a_change_that_cannot_succeed_keeps_the_hold(client, sale_redis):
    item = make_loaded_item(units=2, limit=5)
    held = hold_one(client, item)
    flash.claim(item.pk, order_id=uuid4(), buyer="quick", quantity=1)

    response = claim(client, item, quantity=2, instead_of=held, htmx=True)

    assert response.status_code == 409
    assert "You keep what you hold." in response.text
    assert counters.find(item.pk, held).state == "held"


@pytest.mark.parametrize("takes", [1, 2], ids=["kept", "gone"])
def test_a_change_lost_in_between_says_what_is_left(
    client, sale_redis, monkeypatch, takes
):
    item = make_loaded_item(units=2, limit=5)
    held = hold_one(client, item)
    release = checkout.cancel

    def release_and_lose(order_id):
        release(order_id)
        flash.claim(item.pk, order_id=uuid4(), buyer="quick", quantity=takes)

    monkeypatch.setattr(changing, "cancel", release_and_lose)

    response = claim(client, item, quantity=2, instead_of=held, htmx=True)

    assert response.status_code == 409
    if takes == 1:
        assert "You keep what you hold." in response.text
        assert counters.find(item.pk, held).state == "held"
    else:
        assert "you hold nothing of this now" in response.text
        assert counters.find(item.pk, held).state == "cancelled"


def test_what_is_being_paid_cannot_be_changed(client, sale_redis):
    item = make_loaded_item(units=5, limit=3)
    held = hold_one(client, item)
    checkout.begin_payment(held)

    question = claim(client, item, quantity=2, htmx=True)
    change = claim(client, item, quantity=2, instead_of=held, htmx=True)

    assert "You are paying for 1 of these." in question.text
    assert "Payment has begun" in change.text
    assert counters.snapshot(item.pk).paying == 1
