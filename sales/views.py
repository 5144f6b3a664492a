"""Home and flash sales as shoppers see them, and the claim that buys from one."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect, reswap, retarget

from catalog import categories
from catalog.http import HtmxRequest
from catalog.models import Product
from sales import checkout, display, flash, jobs, offers, room_views, tags, visitors
from sales.counters import ClaimRefused, NotLoaded, Unsure
from sales.display import Shown
from sales.forms import AddForm, ClaimForm, PollForm, RefusalForm, WindowForm
from sales.models import FlashSale, FlashSaleItem, SaleState
from sales.orders import NotPossible

PUBLIC = [state for state in SaleState if state != SaleState.DRAFT]
AHEAD = (SaleState.SCHEDULED, SaleState.LOADED, SaleState.LIVE, SaleState.PAUSED)
NEWEST = 8
OWN_HOLD = "own_hold"  # the word for a claim of somebody who holds units already
STOP_POLLING = 286  # what htmx takes as "do not ask again"


@require_safe
def home(request: HtmxRequest) -> HttpResponse:
    """Live and coming flash sales, the shelves, and what is new."""
    now = timezone.now()
    products = Product.objects.published().select_related("stock")
    context = {
        **_sales_context(_sales_ahead(now)[:4], now),
        "tree": categories.tree(),
        "products": products.order_by("-created_at", "-pk")[:NEWEST],
    }
    return render(request, "storefront/home.html", context)


@require_safe
def flash_sales(request: HtmxRequest) -> HttpResponse:
    """All sales that are on or announced, and the latest that are over."""
    now = timezone.now()
    past = FlashSale.objects.filter(state__in=display.OVER, closes_at__lte=now)
    context = {
        **_sales_context(_sales_ahead(now)[:50], now),
        "past": past.exclude(state=SaleState.CANCELLED)[:10],
    }
    return render(request, "storefront/flash_sales.html", context)


@require_safe
@never_cache
def flash_sale(request: HtmxRequest, slug: str) -> HttpResponse:
    """One flash sale with its items, each with live stock and a form to buy."""
    sale = get_object_or_404(FlashSale, slug=slug, state__in=PUBLIC)
    refused = RefusalForm(request.GET)
    boxes = {}
    if refused.is_valid():
        said = refused.cleaned_data
        if said["refused"] == OWN_HOLD:
            boxes[said["item"]] = {"wanted": said["left"] or 1}
        else:
            sentence = display.refusal(said["refused"], said["left"] or 0)
            boxes[said["item"]] = {"error": sentence}
    response = sale_page(request, sale, boxes)
    visitors.greet(request, response)
    return response


@require_safe
@never_cache
def product_offer(request: HtmxRequest, product_id: int) -> HttpResponse:
    """What fills the flash slot of a product page; without scripts, the way there."""
    now = timezone.now()
    items = FlashSaleItem.objects.select_related("sale", "product")
    item = (
        items.filter(product=product_id, sale__state__in=AHEAD, closes_at__gt=now)
        .order_by("opens_at")
        .first()
    )
    if not request.htmx:
        product = get_object_or_404(Product.objects.published(), pk=product_id)
        return redirect(item.sale if item else product)
    if item is None:
        return HttpResponse()
    shown = room_views.seen_by(request, _shown([item], now)[item.pk])
    is_guest = not request.user.is_authenticated
    context = {"item": item, **_box(request, item.sale.slug, shown, is_guest=is_guest)}
    response = render(request, "storefront/_flash_offer.html", context)
    visitors.greet(request, response)
    return response


@require_safe
@never_cache
def flash_item(request: HtmxRequest, slug: str, item_id: int) -> HttpResponse:
    """The live part of one item, from Redis alone; all of its box if much has changed.

    Ends the polling when the sale is over.
    """
    form = PollForm(request.GET)
    if not form.is_valid():
        return HttpResponse(_("This address is incomplete."), status=422)
    asked = form.cleaned_data
    shown = _shown_now(request, item_id, asked)
    context = _box(request, slug, shown, order_id=asked["order_id"])
    status = STOP_POLLING if shown.is_over else 200
    if shown.state == asked["state"] and shown.price == asked["price"]:
        return render(request, "storefront/_flash_live.html", context, status=status)
    response = render(request, "storefront/_flash_box.html", context, status=status)
    said = render_to_string("storefront/_announce.html", {"text": shown.sentence})
    response.content += said.encode()
    return reswap(retarget(response, f"#flash-box-{item_id}"), "outerHTML")


@require_POST
@never_cache
def claim(request: HtmxRequest, slug: str, item_id: int) -> HttpResponse:
    """Take units of an item for the visitor; decided in Redis, without a query.

    The form's order id makes a second click the same claim again.
    """
    form = ClaimForm(request.POST)
    if not form.is_valid():
        return _claim_not_read(request, slug, item_id, form)
    who = visitors.buyer(request) or visitors.new_guest()
    order_id, quantity = form.cleaned_data["order_id"], form.cleaned_data["quantity"]
    own = visitors.own_hold(request, item_id)
    if own and own["order_id"] != order_id:
        if form.cleaned_data["instead_of"] != own["order_id"]:
            return _ask_whether(request, slug, item_id, quantity)
        return _change(request, slug, item_id, form, own["order_id"])
    response: HttpResponse
    try:
        flash.claim(item_id, order_id=order_id, buyer=who, quantity=quantity)
    except FlashSaleItem.DoesNotExist:
        raise Http404(_("This item is not in a flash sale.")) from None
    except ClaimRefused as error:
        response = _refused(request, slug, item_id, error)
    except (NotLoaded, Unsure) as error:
        if isinstance(error, NotLoaded):
            jobs.start_recovery()
        response = _unsure(request, slug, item_id, order_id, quantity)
    else:
        response = go(request, reverse("sales:order", args=[order_id]))
        visitors.remember_order(request, response, order_id, item_id=item_id)
    visitors.remember_buyer(response, who)
    return response


@require_safe
@never_cache
def checking(
    request: HtmxRequest, slug: str, item_id: int, order_id: UUID
) -> HttpResponse:
    """What a visitor without scripts sees until a doubtful claim is found.

    With scripts it asks again by itself, and gets nothing or the way to the order.
    """
    try:
        found = checkout.order_for_shopper(order_id)
    except (NotLoaded, Unsure):
        found = None
    if found is not None:
        return go(request, reverse("sales:order", args=[order_id]))
    if request.htmx:
        return HttpResponse(status=204)
    asked = AddForm(request.GET)
    context = {
        "slug": slug,
        "item_id": item_id,
        "order_id": order_id,
        "quantity": asked.cleaned_data["quantity"] if asked.is_valid() else 1,
    }
    return render(request, "storefront/checking.html", context)


# -- Inside ------------------------------------------------------------------------


def _sales_ahead(now: datetime) -> QuerySet[FlashSale]:
    ahead = FlashSale.objects.filter(state__in=AHEAD, closes_at__gt=now)
    return ahead.prefetch_related("items__product").order_by("opens_at", "pk")


def _sales_context(sales: Iterable[FlashSale], now: datetime) -> dict[str, Any]:
    """The sales, split by whether they have opened, with their items as shown now."""
    rows = list(sales)
    items = [item for sale in rows for item in sale.items.all()]
    shown = _shown(items, now)

    def entry(sale: FlashSale) -> dict[str, Any]:
        items = sale.items.all()
        return {"sale": sale, "items": [(item, shown[item.pk]) for item in items]}

    return {
        "now": now,
        "live_sales": [entry(sale) for sale in rows if sale.opens_at <= now],
        "coming_sales": [entry(sale) for sale in rows if sale.opens_at > now],
    }


def _shown(items: list[FlashSaleItem], now: datetime) -> dict[int, Shown]:
    item_ids = [item.pk for item in items]
    return display.shown_items(
        items, offers.live(item_ids), tags.read(item_ids), now=now
    )


def _shown_now(request: HtmxRequest, item_id: int, asked: dict[str, Any]) -> Shown:
    """An item from Redis alone; what Redis does not have, the page says itself."""
    live = offers.live([item_id])
    if item_id in live:
        shown = room_views.seen_by(request, display.from_counters(live[item_id]))
    else:
        shown = display.without_counters(
            item_id,
            opens_at=datetime.fromtimestamp(asked["opens"] / 1000, UTC),
            closes_at=datetime.fromtimestamp(asked["closes"] / 1000, UTC),
            now=timezone.now(),
        )
    if asked["price"] is None:
        return shown
    known = tags.Tag(asked["price"], asked["was"] or asked["price"])
    return shown.with_tag(tags.read([item_id]).get(item_id, known))


def _box(
    request: HtmxRequest,
    slug: str,
    shown: Shown,
    *,
    order_id: UUID | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The context of an item's box: live part, form, and the visitor's own hold."""
    return {
        "slug": slug,
        "shown": shown,
        "order_id": order_id or uuid4(),
        "quantity": 1,
        "own": visitors.own_hold(request, shown.item_id),
        "own_place": visitors.own_place(request, shown.item_id),
        "is_guest": not (visitors.buyer(request) or "").startswith("u:"),
        **more,
    }


def sale_page(
    request: HtmxRequest,
    sale: FlashSale,
    boxes: dict[int, dict[str, Any]],
    *,
    status: int = 200,
) -> HttpResponse:
    """The page of a sale; `boxes` adds to the context of an item's box."""
    now = timezone.now()
    items = list(sale.items.select_related("product"))
    room, shown = room_views.on_page(request, sale, _shown(items, now))
    is_guest = not request.user.is_authenticated
    context = {
        "sale": sale,
        "now": now,
        "is_over": sale.state in display.OVER or sale.closes_at <= now,
        "room": room,
        "offers": [
            {
                "item": item,
                **_box(
                    request,
                    sale.slug,
                    shown[item.pk],
                    **{"is_guest": is_guest, **boxes.get(item.pk, {})},
                ),
            }
            for item in items
        ],
    }
    return render(request, "storefront/flash_sale.html", context, status=status)


def go(request: HtmxRequest, url: str) -> HttpResponse:
    """On to another page, for htmx and without it."""
    if request.htmx:
        return HttpResponseClientRedirect(url)
    return HttpResponseRedirect(url)


def box_again(
    request: HtmxRequest, slug: str, item_id: int, *, status: int, **more: Any
) -> HttpResponse:
    """The box of an item after a claim, for htmx; from Redis alone."""
    window = WindowForm(request.POST)
    if not window.is_valid():
        return HttpResponse(_("This form is incomplete."), status=422)
    shown = _shown_now(request, item_id, window.cleaned_data)
    context = _box(request, slug, shown, **more)
    return render(request, "storefront/_flash_box.html", context, status=status)


def _claim_not_read(
    request: HtmxRequest, slug: str, item_id: int, form: ClaimForm
) -> HttpResponse:
    sentence = next(iter(form.errors.values()))[0]
    box = {"error": sentence, "order_id": form.cleaned_data.get("order_id")}
    if request.htmx:
        return box_again(request, slug, item_id, status=422, **box)
    sale = get_object_or_404(FlashSale, slug=slug, state__in=PUBLIC)
    return sale_page(request, sale, {item_id: box}, status=422)


def _ask_whether(
    request: HtmxRequest, slug: str, item_id: int, wanted: int
) -> HttpResponse:
    """The question to somebody who holds units: keep them, or have another number."""
    if request.htmx:
        return box_again(request, slug, item_id, status=409, wanted=wanted)
    asked: dict[str, str | int] = {"item": item_id, "refused": OWN_HOLD, "left": wanted}
    said = urlencode(asked)
    url = reverse("sales:flash-sale", args=[slug])
    return HttpResponseRedirect(f"{url}?{said}#flash-box-{item_id}")


def _change(
    request: HtmxRequest, slug: str, item_id: int, form: ClaimForm, old_id: UUID
) -> HttpResponse:
    """Replace the visitor's own hold by one of another quantity."""
    order_id, quantity = form.cleaned_data["order_id"], form.cleaned_data["quantity"]
    who = visitors.buyer(request) or visitors.new_guest()
    try:
        checkout.change_claim(
            item_id, old_id, order_id=order_id, buyer=who, quantity=quantity
        )
    except checkout.NotChanged as error:
        code, left = error.refusal.code, error.refusal.detail
        sentence = display.not_changed(code, left, is_kept=error.is_kept)
    except NotPossible as error:
        sentence = str(error)
    except (NotLoaded, Unsure) as error:
        if isinstance(error, NotLoaded):
            jobs.start_recovery()
        return _unsure(request, slug, item_id, order_id, quantity)
    else:
        response = go(request, reverse("sales:order", args=[order_id]))
        visitors.remember_order(request, response, order_id, item_id=item_id)
        return response
    if request.htmx:
        return box_again(request, slug, item_id, status=409, error=sentence)
    messages.error(request, sentence)
    return redirect("sales:flash-sale", slug)


def _refused(
    request: HtmxRequest, slug: str, item_id: int, error: ClaimRefused
) -> HttpResponse:
    if request.htmx:
        sentence = display.refusal(error.code, error.detail)
        return box_again(request, slug, item_id, status=409, error=sentence)
    if error.code == flash.OUTSIDE:
        messages.info(request, display.refusal(error.code, 0))
        return redirect(reverse("sales:flash-sale", args=[slug]) + "#waiting-room")
    said: list[tuple[str, str | int]] = [("item", item_id), ("refused", error.code)]
    if error.code in display.COUNTED:
        said.append(("left", error.detail))
    url = reverse("sales:flash-sale", args=[slug])
    return HttpResponseRedirect(f"{url}?{urlencode(said)}#flash-box-{item_id}")


def _unsure(
    request: HtmxRequest, slug: str, item_id: int, order_id: UUID, quantity: int
) -> HttpResponse:
    if request.htmx:
        context = {
            "slug": slug,
            "item_id": item_id,
            "order_id": order_id,
            "quantity": quantity,
            "window": WindowForm(request.POST),
        }
        return render(request, "storefront/_flash_checking.html", context)
    url = reverse("sales:checking", args=[slug, item_id, order_id])
    return HttpResponseRedirect(f"{url}?{urlencode({'quantity': quantity})}")
