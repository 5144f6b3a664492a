"""Carts: what a shopper means to buy. Nothing is promised here."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Least

from catalog import stock
from catalog.models import Product
from sales.models import Cart, CartLine

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def find(cart_id: UUID | str | None) -> Cart | None:
    """The cart of that id, or None; a malformed id is no cart either."""
    try:
        return Cart.objects.filter(pk=UUID(str(cart_id))).first()
    except ValueError:
        return None


def create(user: "User | None" = None) -> Cart:
    """A new empty cart; a signed-in user has exactly one and gets it again."""
    if user is None:
        return Cart.objects.create()
    return Cart.objects.get_or_create(user=user)[0]


@transaction.atomic
def put(cart: Cart, product: Product, quantity: int) -> None:
    """Set how many units of a product the cart holds; 0 takes it out.

    Raises ValueError for a number nobody can mean. Safe to repeat.
    """
    if quantity == 0:
        remove(cart, product)
        return
    stock.check_quantity(quantity)
    _touch(cart)
    CartLine.objects.update_or_create(
        cart=cart, product=product, defaults={"quantity": quantity}
    )


@transaction.atomic
def add(cart: Cart, product: Product, quantity: int) -> None:
    """Put units on top of those the cart already holds, up to the largest quantity."""
    stock.check_quantity(quantity)
    _touch(cart)
    line, created = CartLine.objects.get_or_create(
        cart=cart, product=product, defaults={"quantity": quantity}
    )
    if not created:
        CartLine.objects.filter(pk=line.pk).update(
            quantity=Least(F("quantity") + quantity, settings.SHOP_MAX_QUANTITY)
        )


@transaction.atomic
def remove(cart: Cart, product: Product) -> None:
    """Take a product out of the cart; none there is fine too."""
    _touch(cart)
    CartLine.objects.filter(cart=cart, product=product).delete()


def clear(cart: Cart) -> None:
    """Empty the cart, after its order was placed."""
    CartLine.objects.filter(cart=cart).delete()


@transaction.atomic
def merge(guest: Cart, own: Cart) -> None:
    """Move a guest's lines into the account's cart; the larger number wins."""
    for line in guest.lines.select_related("product"):
        there = own.lines.filter(product=line.product).first()
        put(own, line.product, max(line.quantity, there.quantity if there else 0))
    guest.delete()


def contents(cart: Cart) -> list[CartLine]:
    """The cart's lines in order, each with what could be had of it now (one query)."""
    lines = cart.lines.select_related("product__stock").order_by("pk")
    return list(lines)


def quantities(cart: Cart) -> dict[int, int]:
    """Units per product id, as `orders.place` takes them."""
    return dict(cart.lines.values_list("product_id", "quantity"))


def expire(now: datetime) -> int:
    """Delete carts nobody touched for SHOP_CART_DAYS; return how many."""
    old = now - timedelta(days=settings.SHOP_CART_DAYS)
    return Cart.objects.filter(updated_at__lt=old).delete()[1].get("sales.Cart", 0)


def _touch(cart: Cart) -> None:
    """Lock the cart's row, so that two clicks queue up, and note the visit."""
    Cart.objects.select_for_update().get(pk=cart.pk).save(update_fields=["updated_at"])
