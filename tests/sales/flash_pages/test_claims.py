"""Claims through the browser, with and without scripts."""

from uuid import uuid4

import pytest

from sales import checkout, counters, flash
from tests.factories import make_loaded_item, make_product, make_sale
from tests.sales.flash_pages.calls import claim

pytestmark = pytest.mark.django_db


def test_claim_needs_no_query(client, sale_redis, django_assert_num_queries):
    item = make_loaded_item()
    client.get(item.sale.get_absolute_url())
    claim(client, item)

    with django_assert_num_queries(0):
        response = claim(client, item)

    assert response.status_code == 302


def test_claim_leads_to_its_order(client, sale_redis):
    item, order_id = make_loaded_item(), uuid4()

    plain = claim(client, item, order_id=order_id)
    again = claim(client, item, order_id=order_id, htmx=True)

    assert plain["Location"] == f"/orders/{order_id}/"
    assert again["HX-Redirect"] == f"/orders/{order_id}/"
    assert counters.snapshot(item.pk).held == 1


def test_a_visitor_keeps_one_buyer_id(client, sale_redis):
    item = make_loaded_item(limit=1)
    claim(client, item)
    del client.cookies["orders"]

    response = claim(client, item, htmx=True)

    assert response.status_code == 409
    assert "as many as one person can buy" in response.text


def test_signed_in_claims_count_for_the_account(client, sale_redis, django_user_model):
    user = django_user_model.objects.create_user("ann", "ann@shop.test")
    item = make_loaded_item(limit=1)
    client.force_login(user)
    client.get(item.sale.get_absolute_url())

    claim(client, item)

    assert counters.buyers(item.pk) == {f"u:{user.pk}": 1}


def test_after_sign_out_the_account_is_not_used_any_more(
    client, sale_redis, django_user_model
):
    user = django_user_model.objects.create_user("ann", "ann@shop.test")
    item = make_loaded_item(limit=1)
    client.force_login(user)
    client.get(item.sale.get_absolute_url())
    client.post("/accounts/logout/")
    del client.cookies["sessionid"]

    claim(client, item)

    assert f"u:{user.pk}" not in counters.buyers(item.pk)


def test_refusal_is_a_sentence_and_a_fresh_form(client, sale_redis):
    item, order_id = make_loaded_item(product=make_product(on_hand=5)), uuid4()
    flash.claim(item.pk, order_id=uuid4(), buyer="b", quantity=2)

    response = claim(client, item, quantity=4, order_id=order_id, htmx=True)

    assert response.status_code == 409
    assert "Only 3 units are left" in response.text
    assert str(order_id) not in response.text


def test_refusal_without_scripts_comes_back_to_the_item(client, sale_redis):
    item = make_loaded_item(units=2)

    response = claim(client, item, quantity=3)
    page = client.get(response["Location"])

    assert response["Location"].endswith(f"left=2#flash-box-{item.pk}")
    assert "Only 2 units are left" in page.text


def test_a_sale_that_opens_later_refuses_kindly(client, sale_redis):
    item = make_loaded_item(sale=make_sale(opens_in=60, state="scheduled"))

    response = claim(client, item, htmx=True)

    assert response.status_code == 409
    assert "a moment too early" in response.text


@pytest.mark.parametrize("quantity", ["", "0", "-1", "1.5", "many", "9" * 30])
@pytest.mark.parametrize("htmx", [True, False])
def test_a_quantity_that_makes_no_sense_is_a_422_and_keeps_the_order_id(
    client, sale_redis, quantity, htmx
):
    item, order_id = make_loaded_item(), uuid4()

    response = claim(client, item, order_id=order_id, quantity=quantity, htmx=htmx)

    assert response.status_code == 422
    assert 'role="alert"' in response.text
    assert f'value="{order_id}"' in response.text
    assert counters.snapshot(item.pk).held == 0


def test_a_claim_while_redis_is_unverified_is_asked_again(client, sale_redis):
    item, order_id = make_loaded_item(), uuid4()
    client.get(item.sale.get_absolute_url())
    counters.flush_scripts()

    response = claim(client, item, order_id=order_id, quantity=2, htmx=True)

    assert response.status_code == 200
    assert "Checking your order" in response.text
    assert f'value="{order_id}"' in response.text
    assert 'hx-trigger="load delay:2s' in response.text


def test_a_doubtful_claim_without_scripts_is_found_by_looking_again(client, sale_redis):
    item, order_id = make_loaded_item(), uuid4()
    counters.flush_scripts()
    checking = claim(client, item, order_id=order_id)["Location"]
    waiting = client.get(checking)
    for text in counters.SCRIPTS.values():
        sale_redis.script_load(text)
    claim(client, item, order_id=order_id)

    found = client.get(checking)

    assert 'http-equiv="refresh"' in waiting.text
    assert found["Location"] == f"/orders/{order_id}/"


def test_the_box_leads_to_what_the_visitor_holds_already(client, sale_redis):
    item, order_id = make_loaded_item(), uuid4()
    url = item.sale.get_absolute_url()
    claim(client, item, order_id=order_id, quantity=2)

    holding = client.get(url).text
    checkout.cancel(order_id)

    assert "You hold 2 of these." in holding
    assert f'href="/orders/{order_id}/"' in holding
    assert "You hold" not in client.get(url).text


def test_claim_of_an_unknown_item_is_a_404(client, sale_redis):
    fields = {"order_id": uuid4(), "quantity": 1}

    assert client.post("/flash/x/999999/claim/", fields).status_code == 404
