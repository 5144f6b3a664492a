"""Pages of the waiting list: join, see the place, leave, and what comes after."""

from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from sales import checkout, counters, flash, sync, waiting_list
from sales.models import Order, WaitingEntry
from tests.factories import make_loaded_item, make_user
from tests.sales.waiting_list.line import join, make_full_item, tick

pytestmark = [pytest.mark.redis, pytest.mark.django_db]
HTMX = {"HX-Request": "true"}
POLL = {"HX-Request": "true", "HX-Target": "order-state"}


def wait(client, item, *, email="ann@shop.test", quantity=1, htmx=False):
    fields = {
        "email": email,
        "quantity": quantity,
        "opens": sync.milliseconds(item.opens_at),
        "closes": sync.milliseconds(item.closes_at),
    }
    url = f"/flash/{item.sale.slug}/{item.pk}/wait/"
    return client.post(url, fields, headers=HTMX if htmx else {})


def live(client, item, state="all_held"):
    opens, closes = (sync.milliseconds(at) for at in (item.opens_at, item.closes_at))
    url = f"/flash/{item.sale.slug}/{item.pk}/live/?state={state}"
    return client.get(f"{url}&opens={opens}&closes={closes}&price=5.00")


def sale_page(client, item):
    return client.get(item.sale.get_absolute_url()).text


# -- Joining -----------------------------------------------------------------------


def test_a_full_item_has_a_form_to_join_and_an_open_one_has_not(client, sale_redis):
    full, _ = make_full_item()
    sold_out, _ = make_full_item(paid=True)
    opened = make_loaded_item(units=3)

    assert "Join the waiting list" in sale_page(client, full)
    assert "Join the waiting list" in sale_page(client, sold_out)
    assert "Join the waiting list" not in sale_page(client, opened)


def test_joining_leads_to_the_place_in_line(client, sale_redis):
    item, _ = make_full_item()
    join(item)

    response = wait(client, item, email="ann@shop.test")

    entry = WaitingEntry.objects.get(email="ann@shop.test")
    assert response.status_code == 302
    assert response["Location"] == f"/orders/{entry.order_id}/"
    page = client.get(response["Location"]).text
    assert "You are number 2 in the line" in page
    assert "1 person is before you." in page
    assert "ann@shop.test" in page
    assert entry.language == "en"


def test_with_scripts_the_browser_is_sent_on(client, sale_redis):
    item, _ = make_full_item()

    response = wait(client, item, htmx=True)

    assert response["HX-Redirect"].startswith("/orders/")


def test_a_second_click_leads_to_the_same_place(client, sale_redis):
    item, _ = make_full_item()

    first, second = wait(client, item), wait(client, item)

    assert first["Location"] == second["Location"]
    assert WaitingEntry.objects.count() == 1


@pytest.mark.parametrize("htmx", [True, False])
@pytest.mark.parametrize(
    ("email", "quantity", "said"),
    [
        ("", 1, "Type the e-mail address"),
        ("nonsense", 1, "such as you@example.com"),
        ("ann@shop.test", "many", "as a whole number"),
    ],
)
def test_a_bad_form_is_shown_again_with_what_is_wrong(
    client, sale_redis, htmx, email, quantity, said
):
    item, _ = make_full_item(limit=3)

    response = wait(client, item, email=email, quantity=quantity, htmx=htmx)

    assert response.status_code == 422
    assert said in response.text
    assert 'aria-invalid="true"' in response.text
    assert f'value="{email}"' in response.text
    assert not WaitingEntry.objects.exists()


@pytest.mark.parametrize("htmx", [True, False])
def test_who_can_buy_is_sent_to_buy(client, sale_redis, htmx):
    item = make_loaded_item(units=1)

    response = wait(client, item, htmx=htmx)

    assert response.status_code == 409
    assert "It can be bought right now" in response.text
    assert ("Buy now" in response.text) is htmx


def test_an_address_that_waits_already_is_told_so(client, sale_redis):
    item, _ = make_full_item()
    join(item, email="ann@shop.test")

    response = wait(client, item, email="ANN@shop.test", htmx=True)

    assert response.status_code == 409
    assert "in line already" in response.text


def test_more_than_the_limit_is_refused(client, sale_redis):
    item, _ = make_full_item(limit=2)

    response = wait(client, item, quantity=3, htmx=True)

    assert response.status_code == 409
    assert "you can have 2 more" in response.text


def test_somebody_signed_in_types_no_address(client, sale_redis):
    item, _ = make_full_item()
    user = make_user("ann@shop.test")
    client.force_login(user)

    assert 'name="email"' not in sale_page(client, item)
    response = wait(client, item, email="")

    entry = WaitingEntry.objects.get()
    assert response.status_code == 302
    assert (entry.user, entry.buyer) == (user, f"u:{user.pk}")
    assert entry.email == "ann@shop.test"


def test_many_tries_from_one_address_are_stopped(client, sale_redis, monkeypatch):
    item, _ = make_full_item()
    monkeypatch.setattr("catalog.restock.MOST_PER_HOUR", 0)

    response = wait(client, item, htmx=True)

    assert response.status_code == 429
    assert "very often" in response.text


def test_a_lost_redis_takes_nobody_in_and_says_so(client, sale_redis):
    item, _ = make_full_item()
    sale_redis.delete(counters.keys(item.pk)[0])

    response = wait(client, item)

    assert response.status_code == 503
    assert "do not answer" in response.text


def test_an_item_that_is_not_there_cannot_be_waited_for(client, sale_redis):
    item, _ = make_full_item()
    item.pk = 999_999

    assert wait(client, item).status_code == 404


def test_the_form_has_a_page_that_does_not_renew_itself(client, sale_redis):
    item, _ = make_full_item()

    page = client.get(f"/flash/{item.sale.slug}/{item.pk}/wait/").text

    assert "Join the waiting list" in page
    assert 'http-equiv="refresh"' not in page


def test_the_live_fragment_still_needs_no_query(
    client, sale_redis, django_assert_num_queries
):
    item, _ = make_full_item()
    wait(client, item)
    live(client, item)

    with django_assert_num_queries(0):
        page = live(client, item, state="open").text
        again = live(client, item).text

    assert "See your place in line" in page
    assert "1 is wanted by people in line." in again


# -- The place ---------------------------------------------------------------------


def test_the_page_asks_for_the_place_alone(client, sale_redis):
    item, _ = make_full_item()
    first, second = join(item), join(item)
    url = second.get_absolute_url()

    before = client.get(url, headers=POLL).text
    waiting_list.leave(first.order_id)
    after = client.get(url, headers=POLL).text

    assert "number 2" in before
    assert "number 1" in after
    assert "<h1" not in after


def test_far_from_the_front_the_page_asks_seldom(client, sale_redis):
    item, _ = make_full_item()
    for _ in range(11):
        last = join(item)
    first = WaitingEntry.objects.in_line().first()

    assert "every 5s" in client.get(first.get_absolute_url()).text
    assert "every 20s" in client.get(last.get_absolute_url()).text


def test_an_offer_turns_the_page_into_the_order(client, sale_redis):
    item, (held,) = make_full_item()
    url = wait(client, item, email="ann@shop.test")["Location"]
    checkout.cancel(held)
    tick()

    poll = client.get(url + "?state=waiting", headers=POLL)
    page = client.get(url).text

    assert poll["HX-Refresh"] == "true"
    assert "Held for you" in page
    assert "It is your turn" in page
    assert 'value="ann@shop.test"' in page
    assert "Go to your order" in sale_page(client, item)


def test_an_offer_that_lapsed_says_how_to_go_on(client, sale_redis):
    item, (held,) = make_full_item()
    url = wait(client, item)["Location"]
    join(item)
    checkout.cancel(held)
    tick()

    client.post(url + "cancel/")
    tick()

    assert "join the waiting list again" in client.get(url).text
    assert "Join the waiting list" in sale_page(client, item)


def test_claiming_an_offer_again_does_not_pass_the_line(client, sale_redis):
    item, (held,) = make_full_item()
    url = wait(client, item)["Location"]
    checkout.cancel(held)
    tick()
    join(item)
    client.post(url + "cancel/")

    client.post(url + "again/")

    assert counters.snapshot(item.pk).held == 0


def test_a_hold_is_not_changed_where_the_line_would_take_the_units(client, sale_redis):
    item = make_loaded_item(units=2, limit=3)
    client.get(item.sale.get_absolute_url())
    fields = {
        "opens": sync.milliseconds(item.opens_at),
        "closes": sync.milliseconds(item.closes_at),
    }
    url = f"/flash/{item.sale.slug}/{item.pk}/claim/"
    order_id = uuid4()
    client.post(url, {**fields, "order_id": order_id, "quantity": 2})
    join(item, quantity=3)

    change = {"order_id": uuid4(), "quantity": 1, "instead_of": order_id}
    response = client.post(url, {**fields, **change}, headers=HTMX)

    assert "Others wait in line" in response.text
    assert counters.snapshot(item.pk).held == 2


def test_the_end_of_the_sale_is_said_on_the_page(client, sale_redis):
    item, _ = make_full_item()
    entry = join(item)
    flash.end(item.sale_id)
    tick()

    poll = client.get(entry.get_absolute_url(), headers=POLL)

    assert poll["HX-Refresh"] == "true"
    assert "The line has ended" in client.get(entry.get_absolute_url()).text


def test_a_reached_limit_is_said_on_the_page(client, sale_redis):
    item, _ = make_full_item()
    entry = join(item)
    entry.end("closed", now=timezone.now(), reason="limit")

    page = client.get(entry.get_absolute_url()).text

    assert "as many as one person can buy" in page


# -- Leaving -----------------------------------------------------------------------


def test_leaving_gives_the_place_up(client, sale_redis):
    item, _ = make_full_item()
    url = wait(client, item)["Location"]

    response = client.post(url + "leave/")

    assert response["Location"] == url
    assert "You have left the line" in client.get(url).text
    assert "Join the waiting list" in sale_page(client, item)
    assert "See your place" not in sale_page(client, item)


def test_leaving_after_the_offer_came_says_what_to_do(client, sale_redis):
    item, (held,) = make_full_item()
    url = wait(client, item)["Location"]
    checkout.cancel(held)
    tick()

    page = client.post(url + "leave/", follow=True).text

    assert "cancel that order instead" in page
    assert Order.objects.get(pk=url.split("/")[2]).state == "held"


def test_looking_at_the_address_to_leave_changes_nothing(client, sale_redis):
    item, _ = make_full_item()
    entry = join(item)

    assert client.get(entry.get_absolute_url() + "leave/").status_code == 405
    assert client.post(f"/orders/{uuid4()}/leave/").status_code == 404


# -- Whose -------------------------------------------------------------------------


def test_the_place_of_an_account_is_its_own(client, sale_redis):
    item, _ = make_full_item()
    user = make_user()
    entry = join(item, buyer=f"u:{user.pk}", user=user)
    url = entry.get_absolute_url()

    assert client.get(url).status_code == 302
    client.force_login(make_user())
    assert client.get(url).status_code == 404
    assert client.post(url + "leave/").status_code == 404
    client.force_login(user)
    assert client.get(url).status_code == 200


def test_my_orders_leads_to_the_place(client, sale_redis):
    item, _ = make_full_item()
    url = wait(client, item)["Location"]
    join(item)

    page = client.get("/orders/").text

    assert page.count("Your place in line") == 1
    assert url in page
    assert "No orders yet" not in page


# -- For the merchant --------------------------------------------------------------


def test_the_live_page_of_the_sale_says_how_many_are_wanted(admin_client, sale_redis):
    item, _ = make_full_item()
    join(item, quantity=2)
    url = reverse("admin:sales_flashsale_live", args=[item.sale_id])

    assert "2 wanted by the waiting list" in admin_client.get(url).text


def test_the_report_says_what_came_of_the_line(admin_client, sale_redis):
    item, (held,) = make_full_item()
    join(item)
    join(item)
    checkout.cancel(held)
    tick()
    url = reverse("admin:sales_flashsale_report", args=[item.sale_id])

    assert "2 joined, 1 offers, 0 bought" in admin_client.get(url).text
