"""Orders as their shoppers see them: the hold, the payment, what became of it."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)
from django_htmx.http import HttpResponseClientRefresh

from catalog import keyset
from catalog.http import HtmxRequest
from sales import (
    addresses,
    carts,
    checkout,
    display,
    flash,
    notices,
    orders,
    visitors,
    waiting_list,
    waiting_views,
)
from sales.checkout import Pending
from sales.counters import ClaimRefused, NotLoaded, Unsure
from sales.forms import ContactForm, OutcomeForm
from sales.models import FlashSaleItem, Order, OrderLine, OrderState, Payment
from sales.models.orders import number_of
from sales.payments import test as test_gateway
from sales.payments.notice import Unreachable

logger = logging.getLogger(__name__)

OVER = "over"  # a hold whose time is up and that nobody has released yet


@dataclass(frozen=True, slots=True)
class ShownOrder:
    """An order, or a claim that is still on its way to being one."""

    id: UUID
    state: str
    now: datetime
    expires_at: datetime
    lines: list[OrderLine]
    total: Decimal
    currency: str
    item: FlashSaleItem | None
    order: Order | None
    is_sent_back: bool = False  # money came, and nothing was left for it
    is_offer: bool = False  # made to somebody who waited in line

    @property
    def number(self) -> str:
        return number_of(self.id)

    @property
    def is_recording(self) -> bool:
        return self.order is None

    @property
    def needs_contact(self) -> bool:
        return self.order is None or not self.order.address


@require_safe
@never_cache
def orders_page(request: HtmxRequest) -> HttpResponse:
    """An account's orders; for guests, those made with this browser."""
    if request.user.is_authenticated:
        rows = Order.objects.filter(user=request.user)
    else:
        rows = Order.objects.filter(pk__in=visitors.orders(request), user=None)
    rows = rows.prefetch_related("lines")
    waiting = visitors.waiting(request)
    try:
        page = keyset.page(
            rows, by="-created_at", cursor=request.GET.get("cursor", ""), size=20
        )
    except keyset.BadCursor:
        return redirect("sales:orders")
    context = {"page": page, "waiting": waiting}
    return render(request, "storefront/orders.html", context)


@require_safe
@never_cache
def order(request: HtmxRequest, order_id: UUID) -> HttpResponse:
    """One order with its hold clock and what can be done; htmx asks if it changed."""
    entry = waiting_list.find(order_id)
    if entry is not None and not entry.has_had_offer:
        return waiting_views.page(request, entry)
    try:
        found = _find(request, order_id)
    except (NotLoaded, Unsure):
        return render(request, "storefront/order_unsure.html", {"order_id": order_id})
    if isinstance(found, HttpResponse):
        return found
    found = replace(found, is_offer=entry is not None)
    if request.htmx.target == "order-state":
        return _state_poll(request, found)
    known = {"email": found.order.email} if found.order else {}
    form = ContactForm(initial={**known, **visitors.contact(request)})
    return _order_page(request, found, form)


@require_POST
@never_cache
def pay(request: HtmxRequest, order_id: UUID) -> HttpResponse:
    """Store who receives the order, make the units safe, and go to the payment page."""
    try:
        found = _find(request, order_id)
        if isinstance(found, HttpResponse):
            return found
        if found.needs_contact:
            form = ContactForm(request.POST)
            if not form.is_valid():
                return _order_page(request, found, form, status=422)
            user = request.user if request.user.is_authenticated else None
            checkout.record(order_id)
            checkout.set_contact(order_id, form.contact, user=user)
            if form.cleaned_data["keep"]:
                visitors.keep_address(request, form.contact)
        payment = checkout.begin_payment(order_id)
    except orders.NotPossible as error:
        messages.error(request, str(error))
        return redirect("sales:order", order_id)
    except (NotLoaded, Unsure):
        messages.warning(request, _doubt())
        return redirect("sales:order", order_id)
    return redirect(checkout.payment_url(payment))


@require_POST
@never_cache
def cancel(request: HtmxRequest, order_id: UUID) -> HttpResponse:
    """Give the units back at once."""
    try:
        found = _find(request, order_id)
        if isinstance(found, HttpResponse):
            return found
        checkout.cancel(order_id)
    except orders.NotPossible as error:
        messages.error(request, str(error))
    except (NotLoaded, Unsure):
        messages.warning(request, _doubt())
    else:
        if request.POST.get("back") == "cart":
            messages.success(request, _("The units went back; nothing was charged."))
            return redirect("sales:cart")
    return redirect("sales:order", order_id)


@require_POST
@never_cache
def again(request: HtmxRequest, order_id: UUID) -> HttpResponse:
    """Try once more after a hold has ended: claim again, or fill the cart again."""
    try:
        found = _find(request, order_id)
        if isinstance(found, HttpResponse):
            return found
        if found.item is None:
            return _refill_cart(request, found)
        return _claim_again(request, found, found.item)
    except orders.NotPossible as error:
        messages.error(request, str(error))
    except (NotLoaded, Unsure):
        messages.warning(request, _doubt())
    return redirect("sales:order", order_id)


@require_safe
@never_cache
def stripe_payment(request: HtmxRequest, payment_id: UUID) -> HttpResponse:
    """On to the payment's page at Stripe, which is opened by the first visit."""
    found = Payment.objects.filter(gateway="stripe").select_related("order")
    payment = get_object_or_404(found, pk=payment_id)
    try:
        return redirect(checkout.open_page(payment))
    except orders.NotPossible as error:
        messages.error(request, str(error))
    except Unreachable:
        logger.warning("payment %s: the provider does not answer", payment_id)
        messages.warning(
            request,
            _("The payment provider does not answer. Nothing is lost; try again now."),
        )
    return redirect(payment.order)


@require_safe
@never_cache
def payment_return(request: HtmxRequest, payment_id: UUID) -> HttpResponse:
    """Where the provider sends the shopper back: the order, as the provider has it."""
    found = Payment.objects.select_related("order")
    payment = get_object_or_404(found, pk=payment_id)
    notices.catch_up(payment)
    return redirect(payment.order)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def test_payment(request: HtmxRequest, payment_id: UUID) -> HttpResponse:
    """The test provider's page: the tester says what the provider does.

    After "let it expire" the page stays, so that the money can still come, too late.
    """
    found = Payment.objects.filter(gateway="test").select_related("order")
    payment = get_object_or_404(found, pk=payment_id)
    if payment.state not in (Payment.State.PENDING, Payment.State.DECLINED):
        return redirect(payment.order)
    form = OutcomeForm(request.POST or None)
    if form.is_valid():
        outcome = form.cleaned_data["outcome"]
        word = {"twice": "paid", "expired": "declined"}.get(outcome, outcome)
        test_gateway.send(payment, word, times=2 if outcome == "twice" else 1)
        notices.catch_up(payment)
        return redirect(request.path if outcome == "expired" else payment.order)
    status = 422 if request.method == "POST" else 200
    context = {
        "payment": payment,
        "is_late": payment.state == Payment.State.DECLINED,
        "error": status == 422,
    }
    return render(request, "storefront/test_payment.html", context, status=status)


# -- Inside ------------------------------------------------------------------------


def _claim_again(
    request: HtmxRequest, found: ShownOrder, item: FlashSaleItem
) -> HttpResponse:
    """Back to the order, or to the waiting room where one is in between."""
    try:
        held = checkout.claim_again(found.id)
        if found.state == OVER and held.replayed:
            messages.info(request, _("Your hold is being closed; try once more now."))
    except ClaimRefused as error:
        messages.error(request, display.refusal(error.code, error.detail))
        if error.code == flash.OUTSIDE:
            return redirect(f"{item.sale.get_absolute_url()}#waiting-room")
    return redirect("sales:order", found.id)


def _find(request: HtmxRequest, order_id: UUID) -> ShownOrder | HttpResponse:
    """The order as it is now, or the way to sign in. Raises Http404, NotLoaded, Unsure.

    Another account's order does not exist for this visitor.
    """
    found = checkout.order_for_shopper(order_id)
    if found is None:
        raise Http404(_("There is no such order, or it was never completed."))
    if isinstance(found, Pending):
        return _from_claim(found)
    if not visitors.may_see(request, found):
        if request.user.is_authenticated:
            raise Http404(_("There is no such order, or it was never completed."))
        return redirect_to_login(found.get_absolute_url())
    return ShownOrder(
        id=order_id,
        state=_state(found.state, found.expires_at),
        now=timezone.now(),
        expires_at=found.expires_at,
        lines=list(found.lines.all()),
        total=found.total,
        currency=found.currency,
        item=found.flash_item,
        order=found,
        is_sent_back=_is_sent_back(found),
    )


def _from_claim(claim: Pending) -> ShownOrder:
    items = FlashSaleItem.objects.select_related("sale", "product")
    item = items.get(pk=claim.item_id)
    line = OrderLine(
        product=item.product,
        sku=item.product.sku,
        name=item.product.name,
        quantity=claim.quantity,
        price=item.price,
    )
    return ShownOrder(
        id=claim.order_id,
        state=_state(claim.state, claim.expires_at),
        now=timezone.now(),
        expires_at=claim.expires_at,
        lines=[line],
        total=line.total,
        currency=Order._meta.get_field("currency").get_default(),
        item=item,
        order=None,
    )


def _is_sent_back(order: Order) -> bool:
    if order.state not in (OrderState.CANCELLED, OrderState.EXPIRED):
        return False
    return order.payments.filter(state=Payment.State.REFUNDED).exists()


def _state(state: str, expires_at: datetime) -> str:
    is_over = state == OrderState.HELD and expires_at <= timezone.now()
    return OVER if is_over else state


def _order_page(
    request: HtmxRequest, found: ShownOrder, form: ContactForm, *, status: int = 200
) -> HttpResponse:
    context = {"shown": found, "form": form}
    if found.needs_contact:
        context["addresses"] = addresses.of(request.user)
    return render(request, "storefront/order.html", context, status=status)


def _state_poll(request: HtmxRequest, found: ShownOrder) -> HttpResponse:
    """The clock again, or the whole page once the state is another one."""
    if request.GET.get("state") != found.state:
        return HttpResponseClientRefresh()
    return render(request, "storefront/_order_state.html", {"shown": found})


def _refill_cart(request: HtmxRequest, found: ShownOrder) -> HttpResponse:
    into = visitors.cart_or_new(request)
    for line in found.lines:
        carts.put(into, line.product, line.quantity)
    lines = carts.contents(into)
    response = redirect("sales:cart")
    visitors.remember_cart(response, into, units=sum(each.quantity for each in lines))
    return response


def _doubt() -> str:
    return _("We could not reach the sale's counters. Nothing is lost; try again now.")
