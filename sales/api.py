"""/api/v1 for accounts, carts, orders and payments."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Body, Header, P, Path, Query, Router, Status

from catalog import stock
from catalog.api import page_of, product_of
from catalog.callers import NOBODY, Caller, Token, caller_of
from catalog.models import Product
from catalog.problems import Problem, declared, not_found
from catalog.schemas import ListOut, PageQuery, Sku
from sales import (
    accounts,
    carts,
    checkout,
    contacts,
    jobs,
    notices,
    orders,
    payments,
    tokens,
)
from sales.checkout import Pending
from sales.models import (
    ApiToken,
    Cart,
    FlashSaleItem,
    Order,
    OrderState,
    Payment,
    PaymentState,
)
from sales.payments import test as test_gateway
from sales.payments.notice import BadSignature, Unreadable
from sales.schemas import (
    CartItemIn,
    CartLineOut,
    CartOut,
    GuestOut,
    OrderIn,
    OrderLineOut,
    OrderOut,
    OutcomeIn,
    OutcomeOut,
    PaymentIn,
    PaymentOut,
    ReceivedOut,
    TokenIn,
    TokenOut,
    UserIn,
    UserOut,
)

router = Router()
PAGE = 20


# -- Accounts and tokens -----------------------------------------------------------


@router.post(
    "/users",
    url_name="users",
    auth=Token(),
    tags=["Accounts"],
    response={201: UserOut, **declared(409, 422)},
)
def create_user(request: HttpRequest, body: UserIn) -> Status[UserOut]:
    """Make an account and a token for it. Codes: `email_taken`, `weak_password`."""
    try:
        user = accounts.register(body.email, body.password)
    except accounts.EmailTaken as error:
        raise Problem(
            409, "email_taken", _("There is an account with this address; sign in.")
        ) from error
    except ValidationError as error:
        raise Problem(422, "weak_password", " ".join(error.messages)) from error
    issued = tokens.issue(user, name="sign-up")
    return Status(
        201,
        UserOut(id=user.pk, token=issued.text, expires_at=issued.row.expires_at),
    )


@router.post(
    "/tokens",
    url_name="tokens",
    auth=Token(),
    tags=["Accounts"],
    response={200: TokenOut, **declared(401, 429)},
)
def create_token(request: HttpRequest, body: TokenIn) -> TokenOut:
    """Sign in: a new token of your account, shown this once.

    `scopes` may narrow down what it can do. Codes: `wrong_credentials`, `code_needed`,
    `too_many_requests`.
    """
    try:
        user = accounts.sign_in(request, body.email, body.password, code=body.code)
    except accounts.WrongCredentials as error:
        raise Problem(
            401, "wrong_credentials", _("The address or the password is wrong.")
        ) from error
    except accounts.CodeNeeded as error:
        raise Problem(
            401, "code_needed", _("Send the code of your authenticator app, too.")
        ) from error
    except accounts.TooManyTries as error:
        raise Problem(
            429,
            "too_many_requests",
            _("Too many failed sign-ins; try again in a few minutes."),
            retry_after=60,
        ) from error
    issued = tokens.issue(
        user,
        name=body.name,
        scopes=body.scopes,
        lifetime=timedelta(days=body.days) if body.days else None,
    )
    return TokenOut(token=issued.text, expires_at=issued.row.expires_at)


@router.delete(
    "/tokens/current",
    auth=Token(required=True),
    tags=["Accounts"],
    response={204: None, **declared(409)},
)
def revoke_token(request: HttpRequest) -> Status[None]:
    """Sign out: the token of this request ends. Guest tokens end by themselves."""
    caller = caller_of(request)
    row = ApiToken.objects.filter(digest__startswith=caller.ident).first()
    if caller.user_id is None or row is None:
        raise Problem(409, "not_possible", _("A guest token ends by itself."))
    tokens.revoke(row)
    return Status(204, None)


@router.post(
    "/guests",
    url_name="guests",
    auth=Token(),
    tags=["Accounts"],
    response={201: GuestOut},
)
def create_guest(request: HttpRequest) -> Status[GuestOut]:
    """A token for a shopper without an account, for claims and orders."""
    token, buyer = tokens.new_guest()
    return Status(201, GuestOut(token=token, buyer=buyer))


# -- Carts -------------------------------------------------------------------------


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
    return _cart_out(_cart_of(request, cart_id))


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
    cart = _cart_of(request, cart_id)
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
    cart = _cart_of(request, cart_id)
    carts.remove(cart, product_of(sku, published=False))
    return _cart_out(cart)


# -- Orders ------------------------------------------------------------------------


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
    cart = _cart_of(request, body.cart_id)
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
    return Status(201, order_out(order))


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
    return {"items": [order_out(order) for order in page.items], "next": page.next}


@router.get(
    "/orders/{uuid:order_id}",
    auth=Token(),
    tags=["Orders"],
    response={200: OrderOut, **declared(404, 503)},
)
def get_order(request: HttpRequest, order_id: UUID) -> OrderOut:
    """The order as it is now. Its buyer may read it, and staff with the permission.

    An order made without a token is read by whoever knows its id.
    """
    return order_out(_order_of(request, order_id, staff="sales.view_order"))


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
    _order_of(request, order_id)
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
    _order_of(request, order_id, staff="sales.change_order")
    checkout.cancel(order_id, actor=caller_of(request).user)
    return order_out(_order_of(request, order_id, staff="sales.change_order"))


# -- Payments ----------------------------------------------------------------------


@router.post(
    "/payments/test/{uuid:payment_id}",
    auth=Token(),
    tags=["Payments"],
    response={200: OutcomeOut, **declared(404)},
)
def decide_test_payment(
    request: HttpRequest, payment_id: UUID, body: OutcomeIn
) -> OutcomeOut:
    """Play the test provider: it sends its signed notification to this shop.

    Only while the test gateway is on.
    """
    payment = Payment.objects.filter(pk=payment_id, gateway="test").first()
    if payment is None or "test" not in payments.GATEWAYS:
        raise not_found(_("There is no such test payment."))
    notices.receive("test", *test_gateway.notification(payment, body.outcome))
    notices.catch_up(payment)
    payment.refresh_from_db()
    return OutcomeOut(
        payment_id=payment.pk,
        state=PaymentState(payment.state),
        order_id=payment.order_id,
    )


@router.post(
    "/payments/webhook/{str:gateway}",
    auth=None,
    tags=["Payments"],
    response={200: ReceivedOut, **declared(400, 404)},
)
def receive_notice(request: HttpRequest, gateway: str) -> ReceivedOut:
    """For the provider: a signed notification. Safe to repeat, in any order.

    Codes: `bad_signature`, `malformed`.
    """
    try:
        is_new = notices.receive(gateway, request.body, request.headers)
    except notices.UnknownGateway as error:
        raise not_found(_("This shop does not use that provider.")) from error
    except BadSignature as error:
        raise Problem(400, "bad_signature", str(error)) from error
    except Unreadable as error:
        raise Problem(400, "malformed", str(error)) from error
    transaction.on_commit(jobs.start_handling)
    return ReceivedOut(repeated=not is_new)


# -- Inside ------------------------------------------------------------------------


def _cart_of(request: HttpRequest, cart_id: UUID) -> Cart:
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


def _order_of(
    request: HttpRequest, order_id: UUID, *, staff: str = ""
) -> Order | Pending:
    """An order the caller may see: their own, or with the permission `staff`, any."""
    caller = caller_of(request)
    found = checkout.order_for_shopper(order_id)
    if found is None:
        raise not_found(_("There is no such order."))
    if is_theirs(found, caller) or (staff and caller.may(staff)):
        return found
    if caller == NOBODY:
        raise Problem(401, "unauthorized", _("Send the token of this order's buyer."))
    raise not_found(_("There is no such order."))


def is_theirs(found: Order | Pending, caller: Caller) -> bool:
    """Whether the caller bought it; what nobody's token bought is open by its id."""
    owners = {found.buyer}
    if isinstance(found, Order) and found.user_id is not None:
        owners.add(f"u:{found.user_id}")
    owners.discard("")
    return not owners or caller.buyer in owners


def order_out(found: Order | Pending) -> OrderOut:
    """An order for its buyer, whether PostgreSQL has it already or not."""
    if isinstance(found, Pending):
        return _pending_out(found)
    return OrderOut(
        id=found.pk,
        state=OrderState(found.state),
        email=found.email,
        lines=[
            OrderLineOut(
                sku=line.sku,
                name=line.name,
                quantity=line.quantity,
                price=line.price,
                total=line.total,
            )
            for line in found.lines.all()
        ],
        total=found.total,
        currency=found.currency,
        flash_sale_id=found.flash_item.sale_id if found.flash_item else None,
        expires_at=found.expires_at,
        created_at=found.created_at,
        paid_at=found.paid_at,
    )


def _pending_out(claim: Pending) -> OrderOut:
    item = FlashSaleItem.objects.select_related("product").get(pk=claim.item_id)
    total = item.price * claim.quantity
    line = OrderLineOut(
        sku=item.product.sku,
        name=item.product.name,
        quantity=claim.quantity,
        price=item.price,
        total=total,
    )
    held_for = timedelta(seconds=settings.SHOP_FLASH_HOLD_SECONDS)
    return OrderOut(
        id=claim.order_id,
        state=OrderState(claim.state),
        email="",
        lines=[line],
        total=total,
        currency=settings.SHOP_CURRENCY,
        flash_sale_id=item.sale_id,
        expires_at=claim.expires_at,
        created_at=claim.expires_at - held_for,
        paid_at=None,
    )


def _contact(body: OrderIn, caller: Caller) -> orders.Contact:
    email = body.email or (caller.user.email if caller.user else "")
    if not email:
        raise Problem(422, "invalid", _("Send the e-mail address of the buyer."))
    fields: dict[str, Any] = body.dict(exclude={"cart_id", "email"})
    return orders.Contact(email=email, **fields)


def _known_order(known: Order, caller: Caller, body: OrderIn) -> OrderOut:
    """The order of a key whose first answer is no longer kept."""
    if known.is_flash or not is_theirs(known, caller):
        raise _mismatch()
    if known.email != _contact(body, caller).email:
        raise _mismatch()
    return order_out(known)


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
