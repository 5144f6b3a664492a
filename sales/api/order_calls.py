"""/api/v1 for orders."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Body, Header, P, Query, Status

from catalog import stock
from catalog.api import page_of
from catalog.callers import Caller, Token, caller_of
from catalog.models import Product
from catalog.problems import Problem, declared
from catalog.schemas import ListOut, PageQuery
from sales import carts, checkout, contacts, orders
from sales.api import cart_calls, shapes
from sales.api.routes import router
from sales.models import Order, PaymentState
from sales.schemas import OrderIn, OrderOut, PaymentIn, PaymentOut

PAGE = 20


@router.post(
    "/orders",
    url_name="orders",
    auth=Token(),
    tags=["Orders"],
    response={200: OrderOut, 201: OrderOut, **declared(404, 409, 422)},
)
def place_order(
    request: HttpRequest,
    body: OrderIn,
    idempotency_key: Header[UUID, P(alias="Idempotency-Key")],  # type: ignore[type-arg, valid-type]
) -> Status[OrderOut]:
    """Turn a cart into an order that holds its units until `expires_at`.

    All lines are held, or none. `Idempotency-Key` is a UUID of yours and becomes the
    order's id: repeat the call with it when an answer was lost. Codes:
    `insufficient_stock` with every short line, `empty_cart`, `idempotency_mismatch`.
    """
    caller = caller_of(request)
    known = Order.objects.filter(pk=idempotency_key).first()
    if known is not None:
        return Status(200, _known_order(known, caller, body))
    cart = cart_calls.cart_of(request, body.cart_id)
    try:
        order = orders.place(
            idempotency_key,
            carts.quantities(cart).items(),
            contact=_contact(body, caller),
            user=caller.user,
            buyer=caller.buyer,
        )
    except stock.InsufficientStock as error:
        raise _insufficient(error) from error
    except orders.EmptyOrder as error:
        raise Problem(409, "empty_cart", _("There is nothing in this cart.")) from error
    except orders.OrderConflict as error:
        raise _mismatch() from error
    carts.clear(cart)
    return Status(201, shapes.order_out(order))


@router.get(
    "/orders",
    url_name="orders",
    auth=Token(required=True),
    tags=["Orders"],
    response={200: ListOut[OrderOut], **declared(422)},
)
def list_orders(request: HttpRequest, filters: Query[PageQuery]) -> dict[str, Any]:
    """The orders of your account, newest first; a guest's are read by their ids.

    A flash order is listed a moment after its claim. Codes: `bad_cursor`.
    """
    own = (
        Order.objects.filter(user=caller_of(request).user_id, user__isnull=False)
        .select_related("flash_item")
        .prefetch_related("lines")
    )
    page = page_of(own, by="-created_at", cursor=filters.cursor, size=PAGE)
    return {
        "items": [shapes.order_out(order) for order in page.items],
        "next": page.next,
    }


@router.get(
    "/orders/{uuid:order_id}",
    auth=Token(),
    tags=["Orders"],
    response={200: OrderOut, **declared(404, 503)},
)
def get_order(request: HttpRequest, order_id: UUID) -> OrderOut:
    """The order as it is now. Its buyer may read it, and staff with the permission.

    An order made without a token is read by whoever knows its id. Codes: `not_offered`
    for an id from a waiting list that has no offer; `see` is the address of the place.
    """
    return shapes.order_out(
        shapes.order_of(request, order_id, staff="sales.view_order")
    )


@router.post(
    "/orders/{uuid:order_id}/payment",
    auth=Token(),
    tags=["Orders"],
    response={200: PaymentOut, **declared(404, 409, 503)},
)
def pay_order(
    request: HttpRequest, order_id: UUID, body: Body[PaymentIn | None] = None
) -> PaymentOut:
    """Begin to pay: from now on the hold cannot end under the shopper's hands.

    Repeats share one payment. Codes: `not_possible` when the hold is over.
    """
    shapes.order_of(request, order_id)
    payment = checkout.begin_payment(order_id)
    email = body.email if body else None
    if email := email or contacts.recall(order_id):
        _set_email(payment.order_id, email)
    url = checkout.payment_url(payment).rstrip("/")
    return PaymentOut(
        payment_url=url if "://" in url else settings.SITE_URL + url,
        payment_id=payment.pk,
        state=PaymentState(payment.state),
        amount=payment.amount,
        currency=payment.currency,
    )


@router.post(
    "/orders/{uuid:order_id}/cancel",
    auth=Token(),
    tags=["Orders"],
    response={200: OrderOut, **declared(404, 409, 503)},
)
def cancel_order(request: HttpRequest, order_id: UUID) -> OrderOut:
    """Give the units back. Codes: `not_possible` once payment has begun."""
    shapes.order_of(request, order_id, staff="sales.change_order")
    checkout.cancel(order_id, actor=caller_of(request).user)
    return shapes.order_out(
        shapes.order_of(request, order_id, staff="sales.change_order")
    )


def _contact(body: OrderIn, caller: Caller) -> orders.Contact:
    email = body.email or (caller.user.email if caller.user else "")
    if not email:
        raise Problem(422, "invalid", _("Send the e-mail address of the buyer."))
    fields: dict[str, Any] = body.dict(exclude={"cart_id", "email"})
    return orders.Contact(email=email, **fields)


def _known_order(known: Order, caller: Caller, body: OrderIn) -> OrderOut:
    """The order of a key whose first answer is no longer kept."""
    if known.is_flash or not shapes.is_theirs(known, caller):
        raise _mismatch()
    if known.email != _contact(body, caller).email:
        raise _mismatch()
    return shapes.order_out(known)


def _mismatch() -> Problem:
    return Problem(
        422,
        "idempotency_mismatch",
        _("This Idempotency-Key was used for something else; make a new one."),
    )


def _insufficient(error: stock.InsufficientStock) -> Problem:
    named = Product.objects.in_bulk([s.product_id for s in error.shortages])
    return Problem(
        409,
        "insufficient_stock",
        _("There is less in stock than you ask for; nothing was ordered."),
        lines=[
            {
                "sku": named[short.product_id].sku,
                "name": named[short.product_id].name,
                "requested": short.requested,
                "sellable": short.sellable,
            }
            for short in error.shortages
        ],
    )


def _set_email(order_id: UUID, email: str) -> None:
    order = Order.objects.get(pk=order_id)
    contact = orders.Contact(
        email=email,
        full_name=order.full_name,
        address=order.address,
        postal_code=order.postal_code,
        city=order.city,
        country=order.country,
    )
    checkout.set_contact(order_id, contact)
