from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from catalog.models import Stock
from sales import counters, flash, orders, sync
from sales.models import CartLine, Order, Payment
from sales.orders import Contact
from tests.factories import make_loaded_item, make_product

pytestmark = pytest.mark.django_db

ADDRESS = {
    "email": "ann@shop.test",
    "full_name": "Ann Ames",
    "address": "Quay 1",
    "postal_code": "1234",
    "city": "Port",
    "country": "ID",
}


def place(*, user=None, quantity=2, **fields):
    product = make_product(on_hand=10)
    contact = Contact(**ADDRESS)
    order = orders.place(uuid4(), [(product.pk, quantity)], contact=contact, user=user)
    if fields:
        Order.objects.filter(pk=order.pk).update(**fields)
        order.refresh_from_db()
    return order


def claimed(item, *, buyer="g:1"):
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=1)
    return order_id


def url(order_id, step=""):
    return f"/orders/{order_id}/{step}"


# -- Who may see it ----------------------------------------------------------------


def test_a_guests_order_is_opened_by_its_id(client):
    assert client.get(place().get_absolute_url()).status_code == 200


@pytest.mark.parametrize("step", ["", "pay/", "cancel/", "again/"])
def test_an_accounts_order_asks_strangers_to_sign_in(client, step):
    order = place(user=User.objects.create_user("ann"))

    response = (
        client.get(url(order.pk)) if not step else client.post(url(order.pk, step))
    )

    assert response["Location"].startswith("/accounts/login/?next=/orders/")
    assert Order.objects.get().state == "held"


def test_another_accounts_order_does_not_exist(client):
    order = place(user=User.objects.create_user("ann"))
    client.force_login(User.objects.create_user("bob"))

    assert client.get(order.get_absolute_url()).status_code == 404
    assert client.post(url(order.pk, "cancel/")).status_code == 404


def test_staff_with_the_permission_may_look(client):
    order = place(user=User.objects.create_user("ann"))
    staff = User.objects.create_user("staff")
    staff.user_permissions.add(Permission.objects.get(codename="view_order"))
    client.force_login(staff)

    assert client.get(order.get_absolute_url()).status_code == 200


def test_an_unknown_order_is_a_404(client, sale_redis):
    assert client.get(url(uuid4())).status_code == 404


# -- Regular orders ----------------------------------------------------------------


def test_an_order_is_paid_at_the_test_provider(client):
    order = place()

    payment_page = client.post(url(order.pk, "pay/"))["Location"]
    asked = client.get(payment_page)
    done = client.post(payment_page, {"outcome": "paid"})

    assert "Approve" in asked.text
    assert done["Location"] == order.get_absolute_url()
    page = client.get(done["Location"]).text
    assert "Paid. Thank you!" in page
    assert f"The confirmation goes to {order.email}" in page
    assert Stock.objects.get().on_hand == 8


def test_two_clicks_on_pay_share_one_payment(client):
    order = place()

    first, second = (client.post(url(order.pk, "pay/")) for _ in range(2))

    assert first["Location"] == second["Location"]
    assert Payment.objects.count() == 1


def test_a_declined_payment_gives_the_units_back(client):
    order = place()
    payment_page = client.post(url(order.pk, "pay/"))["Location"]

    client.post(payment_page, {"outcome": "declined"})

    assert "Cancelled" in client.get(url(order.pk)).text
    assert Stock.objects.get().reserved == 0


def test_the_test_provider_takes_only_its_two_words(client):
    payment_page = client.post(url(place().pk, "pay/"))["Location"]

    assert client.post(payment_page, {"outcome": "free"}).status_code == 422
    assert Payment.objects.get().state == "pending"


def test_an_answered_payment_page_leads_to_the_order(client):
    order = place()
    payment_page = client.post(url(order.pk, "pay/"))["Location"]
    client.post(payment_page, {"outcome": "paid"})

    again = client.post(payment_page, {"outcome": "declined"})

    assert again["Location"] == order.get_absolute_url()
    assert Order.objects.get().state == "paid"


def test_cancelling_gives_the_units_back_at_once(client):
    order = place()

    client.post(url(order.pk, "cancel/"))

    assert "Cancelled" in client.get(url(order.pk)).text
    assert Stock.objects.get().reserved == 0


def test_cancelling_after_payment_began_says_why_not(client):
    order = place()
    client.post(url(order.pk, "pay/"))

    response = client.post(url(order.pk, "cancel/"), follow=True)

    assert "Payment has begun" in response.text


def test_a_hold_that_is_over_says_so_and_offers_the_cart(client):
    order = place(expires_at=timezone.now() - timedelta(seconds=1))

    page = client.get(url(order.pk)).text
    paying = client.post(url(order.pk, "pay/"), follow=True)
    again = client.post(url(order.pk, "again/"))

    assert "The hold has ended" in page
    assert "The hold on this order has ended" in paying.text
    assert again["Location"] == "/cart/"
    assert CartLine.objects.get().quantity == 2


def test_order_poll_refreshes_the_page_only_when_the_state_changed(client):
    order = place()
    headers = {"HX-Request": "true", "HX-Target": "order-state"}

    same = client.get(url(order.pk) + "?state=held", headers=headers)
    orders.cancel(order.pk)
    other = client.get(url(order.pk) + "?state=held", headers=headers)

    assert same.text.lstrip().startswith('<div id="order-state"')
    assert other["HX-Refresh"] == "true"


# -- Flash orders ------------------------------------------------------------------


def test_a_claim_has_a_page_before_it_is_in_the_database(client, sale_redis):
    order_id = claimed(make_loaded_item())

    page = client.get(url(order_id)).text

    assert not Order.objects.exists()
    assert "Held for you" in page
    assert "being recorded" in page
    assert 'autocomplete="email"' in page


def test_a_claim_is_paid_with_an_address(client, sale_redis):
    item = make_loaded_item()
    order_id = claimed(item)

    payment_page = client.post(url(order_id, "pay/"), ADDRESS)["Location"]
    client.post(payment_page, {"outcome": "paid"})
    page = client.get(url(order_id))

    order = Order.objects.get()
    assert (order.pk, order.email, order.city) == (order_id, "ann@shop.test", "Port")
    assert "Paid. Thank you!" in page.text
    assert counters.snapshot(item.pk).paid == 1


def test_a_claim_cannot_be_paid_without_an_address(client, sale_redis):
    item = make_loaded_item()
    order_id = claimed(item)

    response = client.post(url(order_id, "pay/"), {"email": "ann"})

    assert response.status_code == 422
    assert "your units are still held" in response.text
    assert counters.snapshot(item.pk).held == 1


def test_cancelling_a_claim_gives_the_unit_back_at_once(client, sale_redis):
    item = make_loaded_item(units=1)
    order_id = claimed(item)

    client.post(url(order_id, "cancel/"))

    assert counters.snapshot(item.pk).sellable == 1
    assert "Cancelled" in client.get(url(order_id)).text


def test_an_ended_hold_can_be_claimed_again(client, sale_redis):
    item = make_loaded_item(units=1)
    order_id = claimed(item)
    client.post(url(order_id, "cancel/"))

    client.post(url(order_id, "again/"))

    assert "Held for you" in client.get(url(order_id)).text
    assert counters.snapshot(item.pk).held == 1


def test_claiming_again_too_late_says_so(client, sale_redis):
    item = make_loaded_item(units=1)
    order_id = claimed(item)
    client.post(url(order_id, "cancel/"))
    claimed(item, buyer="g:2")

    response = client.post(url(order_id, "again/"), follow=True)

    assert "Every unit is held" in response.text


def test_a_signed_in_claim_belongs_to_the_account(client, sale_redis):
    user = User.objects.create_user("ann", "ann@shop.test")
    item = make_loaded_item()
    order_id = claimed(item, buyer=f"u:{user.pk}")
    sync.drain(item.pk)

    stranger = client.get(url(order_id))
    client.force_login(user)

    assert stranger.status_code == 302
    assert client.get(url(order_id)).status_code == 200


# -- My orders ---------------------------------------------------------------------


def test_my_orders_are_mine(client):
    user = User.objects.create_user("ann")
    mine = place(user=user)
    place()
    client.force_login(user)

    listed = client.get("/orders/").context["page"].items

    assert listed == [mine]


def test_a_guest_sees_the_orders_of_this_browser(client, sale_redis):
    item = make_loaded_item()
    order_id = uuid4()
    fields = {"order_id": order_id, "quantity": 1}
    client.post(f"/flash/{item.sale.slug}/{item.pk}/claim/", fields)
    sync.drain(item.pk)
    place()

    listed = client.get("/orders/").context["page"].items

    assert [order.pk for order in listed] == [order_id]


def test_my_orders_are_paged(client):
    user = User.objects.create_user("ann")
    for _ in range(21):
        place(user=user)
    client.force_login(user)

    page = client.get("/orders/").context["page"]
    rest = client.get("/orders/", {"cursor": page.next}).context["page"]

    assert (len(page.items), len(rest.items), rest.next) == (20, 1, None)
    assert client.get("/orders/", {"cursor": "x"})["Location"] == "/orders/"


def test_no_orders_say_what_to_do(client):
    assert "Browse products" in client.get("/orders/").text


def test_payment_of_an_unknown_id_is_a_404(client):
    assert client.get(f"/pay/test/{uuid4()}/").status_code == 404
