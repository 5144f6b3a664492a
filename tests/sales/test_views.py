from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.utils import timezone

from sales import checkout, counters, flash, jobs, sync, tags
from sales.checkout import changing
from sales.models import FlashSale, FlashSaleItem, Order
from tests.factories import make_item, make_loaded_item, make_product, make_sale

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_tags():
    cache.clear()


HTMX = {"HX-Request": "true"}


def live_url(item, state="open", **query):
    opens, closes = (sync.milliseconds(at) for at in (item.opens_at, item.closes_at))
    extra = "".join(f"&{name}={value}" for name, value in query.items())
    return (
        f"/flash/{item.sale.slug}/{item.pk}/live/"
        f"?state={state}&opens={opens}&closes={closes}{extra}"
    )


def claim(client, item, *, order_id=None, quantity=1, htmx=False, **fields):
    fields |= {"order_id": order_id or uuid4(), "quantity": quantity}
    fields["opens"] = sync.milliseconds(item.opens_at)
    fields["closes"] = sync.milliseconds(item.closes_at)
    url = f"/flash/{item.sale.slug}/{item.pk}/claim/"
    return client.post(url, fields, headers=HTMX if htmx else {})


# -- Pages -------------------------------------------------------------------------


def test_home_shows_live_and_coming_sales_apart(client, sale_redis):
    make_loaded_item(sale=make_sale("On now sale", state="scheduled"))
    make_item(
        sale=make_sale("Later sale", opens_in=3600, closes_in=7200, state="scheduled")
    )
    make_sale("Draft sale")

    context = client.get("/").context

    assert [entry["sale"].name for entry in context["live_sales"]] == ["On now sale"]
    assert [entry["sale"].name for entry in context["coming_sales"]] == ["Later sale"]


def test_home_of_an_empty_shop_says_so(client):
    page = client.get("/").text

    assert "No flash sale is planned" in page
    assert "The shelves are still empty" in page


def test_a_draft_has_no_page(client):
    assert client.get(f"/flash/{make_sale().slug}/").status_code == 404


def test_sale_page_shows_both_prices_and_what_is_left(client, sale_redis):
    item = make_loaded_item(product=make_product(on_hand=5, safety_threshold=2))

    page = client.get(item.sale.get_absolute_url()).text

    assert "$5.00" in page
    assert '<del class="was">$9.99</del>' in page
    assert "Only 3 left" in page


def test_sale_page_works_while_redis_is_empty(client, sale_redis):
    item = make_loaded_item()
    sale_redis.flushall()

    page = client.get(item.sale.get_absolute_url())

    assert page.status_code == 200
    assert "is being checked" in page.text
    assert "Buy now" not in page.text


def test_product_slot_is_filled_only_for_a_product_in_a_sale(client, sale_redis):
    item = make_loaded_item()
    other = make_product()

    filled = client.get(f"/offers/{item.product_id}/", headers=HTMX)
    empty = client.get(f"/offers/{other.pk}/", headers=HTMX)

    assert "Buy now" in filled.text
    assert (empty.status_code, empty.text) == (200, "")


def test_product_slot_leads_on_without_scripts(client, sale_redis):
    item = make_loaded_item()
    other = make_product()

    there = client.get(f"/offers/{item.product_id}/")
    back = client.get(f"/offers/{other.pk}/")

    assert there["Location"] == item.sale.get_absolute_url()
    assert back["Location"] == other.get_absolute_url()


# -- The live fragment -------------------------------------------------------------


def test_live_fragment_needs_no_query(client, sale_redis, django_assert_num_queries):
    item = make_loaded_item(units=4)
    url = live_url(item)

    with django_assert_num_queries(0):
        response = client.get(url)

    assert response.status_code == 200
    assert response.text.lstrip().startswith(f'<div id="flash-live-{item.pk}"')


def test_live_fragment_becomes_the_whole_box_when_the_state_changes(client, sale_redis):
    item = make_loaded_item(units=1)
    order_id = uuid4()
    flash.claim(item.pk, order_id=uuid4(), buyer="b", quantity=1)

    response = client.get(live_url(item, order_id=order_id))

    assert response["HX-Retarget"] == f"#flash-box-{item.pk}"
    assert "Every unit is held" in response.text
    assert f'value="{order_id}"' in response.text


def test_live_fragment_stops_the_polling_when_the_sale_is_over(client, sale_redis):
    item = make_loaded_item()
    flash.end(item.sale_id)

    response = client.get(live_url(item))

    assert response.status_code == 286
    assert "hx-trigger" not in response.text


def test_live_fragment_of_a_sale_that_is_not_loaded_waits(client, sale_redis):
    item = make_item(sale=make_sale(opens_in=50, state="scheduled"))

    response = client.get(live_url(item, "not_started"))

    assert response.status_code == 200
    assert "Opens in" in response.text


def test_live_fragment_with_a_damaged_address_is_refused(client):
    item = make_item()

    assert client.get(f"/flash/x/{item.pk}/live/?opens=a").status_code == 422


# -- Claims ------------------------------------------------------------------------


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


def test_past_sales_stay_listed(client):
    now = timezone.now()
    FlashSale.objects.create(
        name="Last week",
        slug="last-week",
        state="settled",
        opens_at=now - timedelta(days=7),
        closes_at=now - timedelta(days=6),
    )

    assert "Last week" in client.get("/flash/").text
    assert "This sale is over" in client.get("/flash/last-week/").text
    assert not Order.objects.exists()


# -- Prices and ending holds -------------------------------------------------------


def test_a_new_price_is_shown_without_a_query(
    client, sale_redis, django_assert_num_queries
):
    item = make_loaded_item(price="5.00")
    url = live_url(item, price="5.00", was="9.99")
    FlashSaleItem.objects.update(price="4.50")
    jobs.drain_items(seconds=0.5)

    with django_assert_num_queries(0):
        response = client.get(url)

    assert response["HX-Retarget"] == f"#flash-box-{item.pk}"
    assert "$4.50" in response.text
    assert 'name="price" value="4.50"' in " ".join(response.text.split())


def test_an_old_price_stays_while_nothing_else_is_known(client, sale_redis):
    item = make_loaded_item()

    response = client.get(live_url(item, state="paused", price="5.00", was="9.99"))

    assert "$5.00" in response.text
    assert '<del class="was">$9.99</del>' in response.text


def test_the_same_price_swaps_the_live_part_alone(client, sale_redis):
    item = make_loaded_item(price="5.00")
    tags.write()

    response = client.get(live_url(item, price="5.00", was="9.99"))

    assert "HX-Retarget" not in response
    assert "&amp;price=5.00&amp;was=9.99" in response.text


def test_the_next_hold_to_end_is_shown_when_all_is_held(
    client, sale_redis, django_assert_num_queries
):
    item = make_loaded_item(units=2)
    for _ in range(2):
        flash.claim(item.pk, order_id=uuid4(), buyer="b", quantity=1)
    sync.drain(item.pk)
    first = Order.objects.order_by("expires_at")[0]
    tags.write()
    url = live_url(item, "all_held", price="5.00", was="9.99")

    with django_assert_num_queries(0):
        response = client.get(url)

    assert "Next hold ends in" in response.text
    assert f'data-until="{int(first.expires_at.timestamp() * 1000)}"' in response.text
    assert "Next hold ends in" in client.get(item.sale.get_absolute_url()).text


def test_nobody_is_told_of_holds_while_units_are_left(client, sale_redis):
    item = make_loaded_item(units=2)
    flash.claim(item.pk, order_id=uuid4(), buyer="b", quantity=1)
    sync.drain(item.pk)

    tags.write()

    assert tags.read([item.pk])[item.pk].next_hold_at is None


def test_a_cache_that_is_away_costs_only_the_tags(client, sale_redis, settings):
    item = make_loaded_item()
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }

    response = client.get(live_url(item, price="5.00", was="9.99"))

    assert response.status_code == 200
    assert "10 left" in response.text


# -- A claim of somebody who holds units already -----------------------------------


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
