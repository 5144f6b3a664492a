"""Who is visiting: buyer id, cart and latest orders, in signed cookies.

Reading them costs no query, so that a claim in a rush needs none.
"""

from contextlib import suppress
from dataclasses import fields
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from catalog.http import HtmxRequest
from sales import addresses, carts, counters
from sales.counters import NotLoaded, StoredClaim, Unsure
from sales.models import Cart, Order, OrderState, WaitingEntry
from sales.orders import Contact, NotPossible

BUYER, CART, ORDERS = "buyer", "cart", "orders"
MOST_ORDERS = 10


# -- The buyer, as limits per buyer count them -------------------------------------


def buyer(request: HttpRequest) -> str | None:
    """The visitor's buyer id from the cookie: "u:<user>" or "g:<uuid>"; no query."""
    stored = _read(request, BUYER)
    if stored.startswith("u:") and settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return None
    return stored or None


def new_guest() -> str:
    return f"g:{uuid4()}"


def remember_buyer(response: HttpResponse, who: str) -> None:
    _write(response, BUYER, who)


def greet(request: HtmxRequest, response: HttpResponse) -> None:
    """Give the visitor the buyer id that fits who is signed in now."""
    stored = buyer(request) or ""
    if request.user.is_authenticated:
        wanted = f"u:{request.user.pk}"
    else:
        wanted = stored if stored.startswith("g:") else new_guest()
    if wanted != stored:
        remember_buyer(response, wanted)


# -- The cart ----------------------------------------------------------------------


def cart(request: HtmxRequest) -> Cart | None:
    """The visitor's cart; at sign-in, what the guest had collected moves along."""
    stored = carts.find(_read(request, CART).partition(":")[0])
    if not request.user.is_authenticated:
        return stored if stored and stored.user_id is None else None
    own = carts.create(request.user)
    if stored and stored.user_id is None:
        carts.merge(stored, own)
    return own


def cart_or_new(request: HtmxRequest) -> Cart:
    return cart(request) or carts.create()


def remember_cart(response: HttpResponse, cart: Cart, *, units: int) -> None:
    """Keep the cart's id, and its units for the badge on every page."""
    _write(response, CART, f"{cart.pk}:{units}")


def cart_units(request: HttpRequest) -> int:
    """Units in the cart as of the last change; no query."""
    units = _read(request, CART).partition(":")[2]
    return int(units) if units.isdecimal() else 0


# -- Orders ------------------------------------------------------------------------


def orders(request: HttpRequest) -> list[UUID]:
    """Ids of the latest orders made with this browser, newest first."""
    return [UUID(entry.partition("@")[0]) for entry in _entries(request)]


def claims(request: HttpRequest) -> dict[int, UUID]:
    """The latest claim this browser made of each flash item; no query."""
    pairs = [entry.split("@") for entry in _entries(request) if "@" in entry]
    return {int(item_id): UUID(order_id) for order_id, item_id in reversed(pairs)}


def own_hold(request: HttpRequest, item_id: int) -> dict[str, Any] | None:
    """The units this browser holds of an item, from its cookie and Redis."""
    order_id, found = _own_claim(request, item_id)
    if found is None or found.state not in (OrderState.HELD, OrderState.PAYING):
        return None
    is_paying = found.state == OrderState.PAYING
    return {"order_id": order_id, "quantity": found.quantity, "is_paying": is_paying}


def own_place(request: HttpRequest, item_id: int) -> UUID | None:
    """The order id under which this browser waits for an item; no query.

    It is one that Redis has not heard of: the offer's claim is still to come.
    """
    order_id, found = _own_claim(request, item_id)
    return order_id if found is None else None


def _own_claim(
    request: HttpRequest, item_id: int
) -> tuple[UUID | None, StoredClaim | None]:
    order_id = claims(request).get(item_id)
    if order_id is None:
        return None, None
    try:
        return order_id, counters.find(item_id, order_id)
    except (NotLoaded, Unsure):
        return None, None


def remember_order(
    request: HttpRequest, response: HttpResponse, order_id: UUID, *, item_id: int = 0
) -> None:
    """Note an order as the newest one; `item_id` if it is a claim of a flash item."""
    others = [e for e in _entries(request) if not e.startswith(str(order_id))]
    newest = f"{order_id}@{item_id}" if item_id else str(order_id)
    _write(response, ORDERS, ",".join([newest, *others][:MOST_ORDERS]))


def _entries(request: HttpRequest) -> list[str]:
    return [entry for entry in _read(request, ORDERS).split(",") if entry]


def waiting(request: HtmxRequest) -> list[WaitingEntry]:
    """Where the account, or else this browser, stands in line."""
    entries = WaitingEntry.objects.in_line().select_related("item__product")
    if request.user.is_authenticated:
        return list(entries.filter(user=request.user))
    return list(entries.filter(order_id__in=orders(request), user=None))


def may_see(request: HtmxRequest, order: Order | WaitingEntry) -> bool:
    """An account's orders are its own; a guest's order is opened by its secret id."""
    if order.user_id is None or order.user_id == request.user.pk:
        return True
    return request.user.has_perm("sales.view_order")


def contact(request: HtmxRequest) -> dict[str, str]:
    """What a signed-in shopper typed last time, or chose now; nothing for guests."""
    if not request.user.is_authenticated:
        return {}
    names = [field.name for field in fields(Contact)]
    earlier = Order.objects.filter(user=request.user).exclude(address="")
    last = earlier.order_by("-created_at").values(*names).first()
    known = {"email": request.user.email, **(last or {})}
    chosen = request.GET.get("address", "")
    for saved in addresses.of(request.user) if chosen else ():
        if str(saved.pk) == chosen:
            names.remove("email")
            known |= {name: getattr(saved, name) for name in names}
    return known


def keep_address(request: HtmxRequest, contact: Contact) -> None:
    """Note an address in the account's book; a full one is no reason to stop."""
    if request.user.is_authenticated:
        with suppress(NotPossible):
            addresses.keep(request.user, contact)


def _read(request: HttpRequest, name: str) -> str:
    value = request.get_signed_cookie(name, default="", salt=f"visitor-{name}")
    return value or ""


def _write(response: HttpResponse, name: str, value: str) -> None:
    response.set_signed_cookie(
        name,
        value,
        salt=f"visitor-{name}",
        max_age=settings.SHOP_CART_DAYS * 86400,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
