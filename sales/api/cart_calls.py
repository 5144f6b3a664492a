"""/api/v1 for carts."""

from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Path, Status

from catalog.api import product_of
from catalog.callers import Token, caller_of
from catalog.problems import declared, not_found
from catalog.schemas import Sku
from sales import carts
from sales.api.routes import router
from sales.models import Cart, Order
from sales.schemas import CartItemIn, CartLineOut, CartOut


@router.post(
    "/carts",
    url_name="carts",
    auth=Token(),
    tags=["Carts"],
    response={201: CartOut},
)
def create_cart(request: HttpRequest) -> Status[CartOut]:
    """A new cart; with a user token the one cart of that account."""
    return Status(201, _cart_out(carts.create(caller_of(request).user)))


@router.get(
    "/carts/{uuid:cart_id}",
    auth=Token(),
    tags=["Carts"],
    response={200: CartOut, **declared(404)},
)
def get_cart(request: HttpRequest, cart_id: UUID) -> CartOut:
    """The cart, and of each line how much could be had now."""
    return _cart_out(cart_of(request, cart_id))


@router.put(
    "/carts/{uuid:cart_id}/items/{path:sku}",
    auth=Token(),
    tags=["Carts"],
    response={200: CartOut, **declared(404)},
)
def put_item(
    request: HttpRequest, cart_id: UUID, sku: Path[Sku], body: CartItemIn
) -> CartOut:
    """Set how many units of a product the cart holds; 0 takes it out."""
    cart = cart_of(request, cart_id)
    carts.put(cart, product_of(sku), body.quantity)
    return _cart_out(cart)


@router.delete(
    "/carts/{uuid:cart_id}/items/{path:sku}",
    auth=Token(),
    tags=["Carts"],
    response={200: CartOut, **declared(404)},
)
def delete_item(request: HttpRequest, cart_id: UUID, sku: Path[Sku]) -> CartOut:
    """Take a product out of the cart."""
    cart = cart_of(request, cart_id)
    carts.remove(cart, product_of(sku, published=False))
    return _cart_out(cart)


def cart_of(request: HttpRequest, cart_id: UUID) -> Cart:
    """A cart the caller may use: a guest's by its secret id, an account's own."""
    cart = carts.find(cart_id)
    if cart is None or cart.user_id not in (None, caller_of(request).user_id):
        raise not_found(_("There is no such cart."))
    return cart


def _cart_out(cart: Cart) -> CartOut:
    lines = carts.contents(cart)
    return CartOut(
        id=cart.pk,
        items=[
            CartLineOut(
                sku=line.product.sku,
                name=line.product.name,
                quantity=line.quantity,
                price=line.product.price,
                total=line.total,
                can_have=line.can_have,
                is_short=line.is_short,
            )
            for line in lines
        ],
        total=sum((line.total for line in lines), start=Order().total),
        currency=settings.SHOP_CURRENCY,
    )
