from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from catalog.models import Stock
from sales.models import Cart, CartLine, Order
from tests.factories import make_product

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
ADDRESS = {
    "email": "ann@shop.test",
    "full_name": "Ann Ames",
    "address": "Quay 1",
    "postal_code": "1234",
    "city": "Port",
    "country": "ID",
}


def add(client, product, quantity=1, **kwargs):
    url = f"/cart/add/{product.pk}/"
    return client.post(url, {"quantity": quantity}, **kwargs)


def checkout(client, **fields):
    return client.post("/checkout/", ADDRESS | {"order_id": uuid4()} | fields)


def test_adding_without_scripts_leads_to_the_cart(client):
    product = make_product()

    response = add(client, product, 2)

    assert response["Location"] == "/cart/"
    (line,) = client.get("/cart/").context["lines"]
    assert (line.product, line.quantity) == (product, 2)


def test_adding_with_scripts_gives_the_form_and_the_badge(client):
    response = add(client, make_product(), 3, headers=HTMX)

    assert response.text.lstrip().startswith('<div id="add-to-cart">')
    assert 'hx-swap-oob="true"' in response.text
    assert "(3 items)" in response.text


def test_badge_is_on_every_page(client):
    add(client, make_product(), 3)

    assert "(3 items)" in client.get("/products/").text


@pytest.mark.parametrize("quantity", ["", "0", "-1", "2.5", "two", "9" * 30, "4"])
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_quantity_that_cannot_be_had_is_not_added(client, quantity, headers):
    product = make_product(on_hand=5, safety_threshold=2)

    response = add(client, product, quantity, headers=headers)

    assert response.status_code == 422
    assert 'id="quantity-error"' in response.text
    assert not CartLine.objects.exists()


def test_a_line_can_be_changed_and_removed(client):
    product = make_product()
    add(client, product, 2)
    url = f"/cart/lines/{product.pk}/"

    changed = client.post(url, {"quantity": 5}, headers=HTMX)
    assert CartLine.objects.get().quantity == 5
    removed = client.post(url, {"quantity": 0})

    assert changed.text.lstrip().startswith('<div id="cart">')
    assert removed["Location"] == "/cart/"
    assert "Your cart is empty" in client.get("/cart/").text


@pytest.mark.parametrize("quantity", ["", "-1", "x", "9" * 30])
def test_a_bad_quantity_leaves_the_line_as_it_was(client, quantity):
    product = make_product()
    add(client, product, 2)

    response = client.post(f"/cart/lines/{product.pk}/", {"quantity": quantity})

    assert response.status_code == 422
    assert 'id="line-error"' in response.text
    assert CartLine.objects.get().quantity == 2


def test_cart_says_what_can_be_had_of_each_line(client):
    product = make_product(on_hand=5)
    add(client, product, 4)
    add(client, product, 4)

    page = client.get("/cart/").text

    assert "Only 5 can be had now." in page
    assert "Go to checkout" not in page


def test_another_visitor_has_another_cart(client):
    add(client, make_product())

    assert "Your cart is empty" in Client().get("/cart/").text


def test_a_forged_cart_cookie_opens_nothing(client):
    cart = Cart.objects.create()
    CartLine.objects.create(cart=cart, product=make_product(), quantity=1)
    client.cookies["cart"] = f"{cart.pk}:1:forged"

    assert "Your cart is empty" in client.get("/cart/").text


def test_signing_in_takes_the_guests_cart_along(client):
    product = make_product()
    user = User.objects.create_user("ann", "ann@shop.test")
    add(client, product, 2)

    client.force_login(user)
    client.get("/cart/")

    (cart,) = Cart.objects.all()
    assert (cart.user, cart.lines.get().quantity) == (user, 2)


# -- Checkout ----------------------------------------------------------------------


def test_checkout_of_an_empty_cart_leads_back(client):
    assert client.get("/checkout/")["Location"] == "/cart/"


def test_checkout_holds_the_units_and_empties_the_cart(client):
    product = make_product(on_hand=5)
    add(client, product, 3)

    response = checkout(client)

    order = Order.objects.get()
    assert response["Location"] == order.get_absolute_url()
    assert (order.state, order.email, order.country) == ("held", "ann@shop.test", "ID")
    assert Stock.objects.get(pk=product.pk).reserved == 3
    assert not CartLine.objects.exists()


def test_sending_checkout_twice_makes_one_order(client):
    add(client, make_product(), 3)
    order_id = uuid4()
    first = checkout(client, order_id=order_id)

    second = checkout(client, order_id=order_id)

    assert second["Location"] == first["Location"]
    assert Order.objects.count() == 1


def test_an_old_form_with_new_contents_is_not_sent_by_mistake(client):
    add(client, make_product(), 3)
    order_id = uuid4()
    checkout(client, order_id=order_id)
    add(client, make_product(), 1)

    response = checkout(client, order_id=order_id)

    assert response["Location"] == "/checkout/"
    assert "has made an order before" in client.get("/checkout/").text
    assert Order.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("email", "ann"), ("email", ""), ("address", " "), ("country", "XX")],
)
def test_an_invalid_address_is_a_422_and_orders_nothing(client, field, value):
    add(client, make_product())

    response = checkout(client, **{field: value})

    assert response.status_code == 422
    assert f'id="id_{field}_error"' in response.text
    assert not Order.objects.exists()


def test_a_shortage_names_each_line_and_takes_nothing(client):
    pot, rake = make_product("Pot", on_hand=5), make_product("Rake", on_hand=5)
    add(client, pot, 4)
    add(client, rake, 2)
    Stock.objects.filter(pk=pot.pk).update(on_hand=3)

    response = checkout(client)

    assert response.status_code == 409
    short = {line.product: shortage for line, shortage in response.context["rows"]}
    assert short[pot].sellable == 3
    assert short[rake] is None
    assert "Only 3 can be had now" in response.text
    assert not Order.objects.exists()
    assert Stock.objects.get(pk=rake.pk).reserved == 0


def test_checkout_knows_the_address_of_an_account(client):
    user = User.objects.create_user("ann", "ann@shop.test")
    client.force_login(user)
    add(client, make_product())
    checkout(client, email="else@shop.test")
    add(client, make_product())

    form = client.get("/checkout/").context["form"]

    assert (form["city"].value(), form["email"].value()) == ("Port", "else@shop.test")
