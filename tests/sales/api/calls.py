"""A caller with an account, a cart and an order."""

from uuid import uuid4

from sales import carts

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
CREDENTIALS = {"email": EMAIL, "password": PASSWORD}


def make_cart(*lines, user=None):
    """A cart with (product, quantity) lines."""
    cart = carts.create(user)
    for product, quantity in lines:
        carts.put(cart, product, quantity)
    return cart


def order_of(api, *lines, key=None):
    cart = make_cart(*lines)
    return api.post(
        "/orders", {"cart_id": str(cart.pk), "email": EMAIL}, key=key or uuid4()
    )
