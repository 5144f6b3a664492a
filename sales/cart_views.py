"""Cart and checkout: what a shopper means to buy, until it is an order."""

from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from catalog.http import HtmxRequest
from catalog.models import Product
from catalog.stock import InsufficientStock
from sales import addresses, carts, holds, orders, visitors
from sales.forms import AddForm, CartLineForm, CheckoutForm
from sales.models import Cart, CartLine, Order


@require_safe
@never_cache
def cart(request: HtmxRequest) -> HttpResponse:
    """The cart, with what can be had of each line now; flash holds stand apart."""
    found = visitors.cart(request)
    lines = carts.contents(found) if found else []
    context = {**_cart_context(lines), **_holds(request)}
    response = render(request, "storefront/cart.html", context)
    if found:
        visitors.remember_cart(response, found, units=_units(lines))
    return response


@require_POST
@never_cache
def cart_add(request: HtmxRequest, product_id: int) -> HttpResponse:
    """Put units of a product into the cart; the quantity may not exceed what there is.

    htmx gets the form again with the outcome, and the badge; others go to the cart.
    """
    products = Product.objects.published().select_related("stock")
    product = get_object_or_404(products, pk=product_id)
    form = AddForm(request.POST)
    error = _first_error(form)
    if not error and form.cleaned_data["quantity"] > product.stock.sellable:
        error = _too_many(product)
    if error:
        typed = request.POST.get("quantity", "")
        return _add_form(request, product, status=422, error=error, quantity=typed)
    quantity = form.cleaned_data["quantity"]
    into = visitors.cart_or_new(request)
    carts.add(into, product, quantity)
    units = _units(carts.contents(into))
    response: HttpResponse
    if request.htmx:
        added = ngettext(
            "%(n)d unit is in your cart.", "%(n)d units were added.", quantity
        ) % {"n": quantity}
        response = _add_form(request, product, added=added)
        response.content += _badge(units)
    else:
        response = redirect("sales:cart")
    visitors.remember_cart(response, into, units=units)
    return response


@require_POST
@never_cache
def cart_line(request: HtmxRequest, product_id: int) -> HttpResponse:
    """Set a line's quantity; 0 takes it out. htmx gets the cart, others the page."""
    product = get_object_or_404(Product, pk=product_id)
    found = visitors.cart(request)
    form = CartLineForm(request.POST)
    error = _first_error(form)
    if found and not error:
        carts.put(found, product, form.cleaned_data["quantity"])
    lines = carts.contents(found) if found else []
    if error:
        context = _cart_context(lines, bad_line=product_id, error=error)
        template = "_cart.html" if request.htmx else "cart.html"
        if not request.htmx:
            context |= _holds(request)
        return render(request, f"storefront/{template}", context, status=422)
    if not request.htmx:
        response: HttpResponse = redirect("sales:cart")
    else:
        response = render(request, "storefront/_cart.html", _cart_context(lines))
        response.content += _badge(_units(lines))
    if found:
        visitors.remember_cart(response, found, units=_units(lines))
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def checkout_page(request: HtmxRequest) -> HttpResponse:
    """Address and e-mail, then the order: its units are held while the shopper pays."""
    found = visitors.cart(request)
    lines = carts.contents(found) if found else []
    if found is None or not lines:
        return _nothing_to_order(request)
    if request.method != "POST":
        form = CheckoutForm(initial={**visitors.contact(request), "order_id": uuid4()})
        return _checkout(request, form, lines)
    form = CheckoutForm(request.POST)
    if not form.is_valid():
        if "order_id" in form.errors:
            messages.error(request, _("That form was incomplete. Please try again."))
            return redirect("sales:checkout")
        return _checkout(request, form, lines, status=422)
    return _place(request, form, found, lines)


# -- Inside ------------------------------------------------------------------------


def _place(
    request: HtmxRequest, form: CheckoutForm, found: Cart, lines: list[CartLine]
) -> HttpResponse:
    order_id = form.cleaned_data["order_id"]
    user = request.user if request.user.is_authenticated else None
    wanted = [(line.product_id, line.quantity) for line in lines]
    try:
        placed = orders.place(order_id, wanted, contact=form.contact, user=user)
    except InsufficientStock as error:
        short = {shortage.product_id: shortage for shortage in error.shortages}
        return _checkout(request, form, lines, status=409, short=short)
    except orders.OrderConflict:
        messages.error(
            request,
            _(
                "This form has made an order before, with other things in it. Check "
                "this one and send it again."
            ),
        )
        return redirect("sales:checkout")
    if form.cleaned_data["keep"]:
        visitors.keep_address(request, form.contact)
    carts.clear(found)
    response = redirect("sales:order", placed.pk)
    visitors.remember_cart(response, found, units=0)
    visitors.remember_order(request, response, placed.pk)
    return response


def _nothing_to_order(request: HtmxRequest) -> HttpResponse:
    """An empty cart; after a second click, the order that the first one made."""
    form = CheckoutForm(request.POST)
    form.is_valid()
    order_id = form.cleaned_data.get("order_id")
    if order_id and Order.objects.filter(pk=order_id).exists():
        return redirect("sales:order", order_id)
    messages.info(request, _("Your cart is empty; there is nothing to order."))
    return redirect("sales:cart")


def _checkout(
    request: HtmxRequest,
    form: CheckoutForm,
    lines: list[CartLine],
    *,
    status: int = 200,
    short: dict[int, Any] | None = None,
) -> HttpResponse:
    rows = [(line, (short or {}).get(line.product_id)) for line in lines]
    context = {**_cart_context(lines), "form": form, "rows": rows, "short": short}
    context["addresses"] = addresses.of(request.user)
    return render(request, "storefront/checkout.html", context, status=status)


def _cart_context(lines: list[CartLine], **more: Any) -> dict[str, Any]:
    return {
        "lines": lines,
        "total": sum((line.total for line in lines), start=0),
        "is_short": any(line.is_short for line in lines),
        **more,
    }


def _holds(request: HtmxRequest) -> dict[str, Any]:
    now = timezone.now()
    return {
        "holds": holds.of(request.user, visitors.claims(request), now=now),
        "now": now,
    }


def _units(lines: list[CartLine]) -> int:
    return sum(line.quantity for line in lines)


def _first_error(form: AddForm | CartLineForm) -> str:
    return "" if form.is_valid() else str(next(iter(form.errors.values()))[0])


def _too_many(product: Product) -> str:
    if not product.stock.sellable:
        return _("It is out of stock at the moment, so nothing was added.")
    return ngettext(
        "Only %(n)d unit can be had now. Choose that or less.",
        "Only %(n)d units can be had now. Choose that many or fewer.",
        product.stock.sellable,
    ) % {"n": product.stock.sellable}


def _add_form(
    request: HtmxRequest, product: Product, *, status: int = 200, **more: Any
) -> HttpResponse:
    """The form of a product page again; without scripts, a small page around it."""
    context = {"product": product, "quantity": 1, **more}
    template = "_add_to_cart.html" if request.htmx else "add_to_cart.html"
    return render(request, f"storefront/{template}", context, status=status)


def _badge(units: int) -> bytes:
    return render_to_string("storefront/_cart_badge.html", {"units": units}).encode()
