"""The waiting list as its shoppers see it: a place in line, until there is an offer."""

import logging
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRefresh

from catalog import restock
from catalog.http import HtmxRequest, address_of
from sales import display, jobs, views, visitors, waiting_list
from sales.counters import NotLoaded, Unsure
from sales.forms import WaitForm
from sales.models import FlashSaleItem, SaleState, WaitingEntry
from sales.orders import NotPossible
from sales.waiting_list import JoinRefused

logger = logging.getLogger(__name__)

NEAR = 10  # places from which on the page looks again soon
SOON, CALM = 5, 20  # seconds


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def join(request: HtmxRequest, slug: str, item_id: int) -> HttpResponse:
    """Put the visitor into an item's line, and show them their place in it.

    A second click finds the first one's place. The page by itself is for visitors
    without scripts: it does not renew itself while they type.
    """
    user = request.user if request.user.is_authenticated else None
    if request.method != "POST":
        return _form_page(request, slug, item_id)
    form = WaitForm(request.POST, needs_email=not (user and user.email))
    if not form.is_valid():
        sentence = str(next(iter(form.errors.values()))[0])
        return _again(request, slug, item_id, sentence, status=422)
    if not restock.may_ask(address_of(request)):
        sentence = _("That was very often in one hour. Please try again later.")
        return _again(request, slug, item_id, sentence, status=429)
    try:
        entry = _enter(request, item_id, form, user)
    except FlashSaleItem.DoesNotExist:
        raise Http404(_("This item is not in a flash sale.")) from None
    except JoinRefused as error:
        sentence = display.not_joined(error.code, error.detail)
        return _again(request, slug, item_id, sentence, status=409)
    except (NotLoaded, Unsure) as error:
        if isinstance(error, NotLoaded):
            jobs.start_recovery()
        sentence = _("The sale's counters do not answer right now. Please try again.")
        return _again(request, slug, item_id, sentence, status=503)
    response = views.go(request, entry.get_absolute_url())
    visitors.remember_order(request, response, entry.order_id, item_id=item_id)
    visitors.remember_buyer(response, entry.buyer)
    return response


@require_POST
@never_cache
def leave(request: HtmxRequest, order_id: UUID) -> HttpResponse:
    """Give the visitor's place to whoever is behind them."""
    entry = waiting_list.find(order_id)
    if entry is None or not visitors.may_see(request, entry):
        raise Http404(_("There is no such place in a waiting list."))
    response = redirect(entry)
    try:
        waiting_list.leave(order_id)
    except NotPossible as error:
        messages.error(request, str(error))
    else:
        visitors.remember_order(request, response, order_id)
    return response


def page(request: HtmxRequest, entry: WaitingEntry) -> HttpResponse:
    """The order page of somebody whose offer is still to come, or will not come.

    htmx asks for the place alone, and for the whole page once it is another one.
    """
    if not visitors.may_see(request, entry):
        if request.user.is_authenticated:
            raise Http404(_("There is no such order, or it was never completed."))
        return redirect_to_login(entry.get_absolute_url())
    place = waiting_list.place_of(entry)
    context = {
        "entry": entry,
        "place": place,
        "ahead": place - 1,
        "poll_seconds": SOON if place <= NEAR else CALM,
        "minutes": waiting_list.offer_milliseconds() // 60_000,
        "total": entry.item.price * entry.quantity,
        "is_over": waiting_list.is_over(entry.item, timezone.now()),
        "is_paused": entry.item.sale.state == SaleState.PAUSED,
    }
    if request.htmx.target != "order-state":
        return render(request, "storefront/waiting.html", context)
    if not entry.is_waiting:
        return HttpResponseClientRefresh()
    return render(request, "storefront/_waiting_state.html", context)


# -- Inside ------------------------------------------------------------------------


def _enter(
    request: HtmxRequest, item_id: int, form: WaitForm, user: User | None
) -> WaitingEntry:
    typed = form.cleaned_data
    return waiting_list.join(
        item_id,
        buyer=f"u:{user.pk}" if user else _guest(request),
        quantity=typed["quantity"],
        email=typed["email"] or (user.email if user else ""),
        user=user,
    ).entry


def _guest(request: HtmxRequest) -> str:
    """The buyer id of a visitor who is not signed in."""
    stored = visitors.buyer(request) or ""
    return stored if stored.startswith("g:") else visitors.new_guest()


def _again(
    request: HtmxRequest, slug: str, item_id: int, sentence: str, *, status: int
) -> HttpResponse:
    """The form once more, with a sentence why, and with what was typed."""
    typed = {
        "email": request.POST.get("email", "")[:254],
        "quantity": request.POST.get("quantity", "")[:7],
        "is_wrong": status == 422,
    }
    context: dict[str, Any] = {"error": sentence, "line": typed}
    if not request.htmx:
        return _form_page(request, slug, item_id, status=status, **context)
    if status == 422 and "email" not in request.POST:  # an account without an address
        context["is_guest"] = True
    status = 409 if status == 503 else status  # one that htmx shows
    return views.box_again(request, slug, item_id, status=status, **context)


def _form_page(
    request: HtmxRequest,
    slug: str,
    item_id: int,
    *,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    items = FlashSaleItem.objects.select_related("sale", "product")
    item = get_object_or_404(items, pk=item_id, sale__slug=slug)
    context = {
        "item": item,
        "slug": slug,
        "item_id": item.pk,
        "limit": item.limit_per_buyer,
        "is_guest": not (request.user.is_authenticated and request.user.email),
        **more,
    }
    response = render(request, "storefront/wait.html", context, status=status)
    visitors.greet(request, response)
    return response
