"""The waiting room on a sale's page: join it, look in, give the place up."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from catalog.http import HtmxRequest
from sales import display, flash, visitors, waiting_room
from sales.counters import NotLoaded
from sales.display import Shown
from sales.forms import RoomForm
from sales.models import FlashSale
from sales.rooms import RoomAway
from sales.waiting_room import Place

STOP_POLLING = 286
FAR = timedelta(minutes=1)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def room(request: HtmxRequest, slug: str) -> HttpResponse:
    """The visitor's place in a sale's waiting room; a POST takes it or gives it up.

    Without scripts a POST leads back to the sale's page.
    """
    url = reverse("sales:flash-sale", args=[slug]) + "#waiting-room"
    if request.method != "POST" and not request.htmx:
        return redirect(url)
    asked = RoomForm(request.POST or request.GET)
    known = asked.cleaned_data if asked.is_valid() else {}
    who = visitors.buyer(request) or visitors.new_guest()
    wants = known.get("wants", "") if request.method == "POST" else ""
    if request.method == "POST" and not _may_join(request):
        return _too_many(request, slug)
    context = _context(request, slug, who, wants=wants)
    response: HttpResponse
    if request.htmx:
        response = _fragment(request, context, was=known.get("state", ""))
    else:
        response = redirect(url)
    if request.method == "POST":
        visitors.remember_buyer(response, who)
    return response


def on_page(
    request: HtmxRequest, sale: FlashSale, shown: dict[int, Shown]
) -> tuple[dict[str, Any], dict[int, Shown]]:
    """The context of the room on the sale's own page, and the items as seen from it.

    Who joined as a guest and has signed in since keeps the place.
    """
    if not sale.has_waiting_room:
        return {}, {pk: one.from_outside() for pk, one in shown.items()}
    who = visitors.buyer(request) or ""
    if request.user.is_authenticated and who != f"u:{request.user.pk}":
        guest, who = who, f"u:{request.user.pk}"
        if guest.startswith("g:"):
            waiting_room.hand_over(sale.pk, guest, who)
    context = _context(request, sale.slug, who)
    if not (context["place"] and context["place"].is_inside):
        shown = {pk: one.from_outside() for pk, one in shown.items()}
    return context, shown


def seen_by(request: HtmxRequest, shown: Shown) -> Shown:
    """An item as this visitor may buy it: with the door shut for who is outside."""
    if not shown.has_room or not shown.can_buy:
        return shown
    who = visitors.buyer(request)
    try:
        is_inside = bool(who) and flash.may_enter(shown.item_id, who or "")
    except NotLoaded:
        is_inside = False
    return shown if is_inside else shown.from_outside()


# -- Inside ------------------------------------------------------------------------


def _context(
    request: HtmxRequest, slug: str, who: str, *, wants: str = ""
) -> dict[str, Any]:
    """What the fragment shows; `is_away` when the room's server does not answer."""
    try:
        known = waiting_room.of_slug(slug)
    except FlashSale.DoesNotExist:
        raise Http404(_("There is no such sale.")) from None
    place: Place | None = None
    try:
        if wants == "leave":
            waiting_room.leave(known, who)
        if wants == "join":
            place = waiting_room.join(known, who)
        else:
            place = waiting_room.look(known, who)
    except RoomAway:
        pass
    return {
        "slug": slug,
        "place": place,
        "is_away": place is None,
        "minutes": _minutes(place),
        "poll_seconds": _poll_seconds(place),
    }


def _fragment(
    request: HtmxRequest, context: dict[str, Any], *, was: str
) -> HttpResponse:
    """The room again; a change is told to the items on the page and said aloud."""
    place: Place | None = context["place"]
    state = place.state if place else "away"
    is_gone = state == "outside" and request.method != "POST"
    status = STOP_POLLING if state in ("none", "over") else 200
    response = render(
        request,
        "storefront/_waiting_room.html",
        {**context, "lost": was if is_gone else ""},
        status=status,
    )
    if state != was:
        said = {"text": display.room_sentence(state)}
        spoken = render_to_string("storefront/_announce.html", said)
        response.content += spoken.encode()
        trigger_client_event(response, "room-changed", {}, after="settle")
    return response


def _too_many(request: HtmxRequest, slug: str) -> HttpResponse:
    context = {"slug": slug, "place": None, "is_busy": True, "poll_seconds": 10}
    template = "storefront/_waiting_room.html"
    if not request.htmx:
        template = "storefront/waiting_room_busy.html"
    return render(request, template, context, status=429)


def _may_join(request: HtmxRequest) -> bool:
    """Whether another place may be taken from the visitor's address."""
    limit: Any = import_string(settings.SHOP_JOINING_LIMIT)
    return bool(limit(request))


def _minutes(place: Place | None) -> int:
    """The estimate in whole minutes, rounded up; 0 while none can be given."""
    if place is None or place.estimate is None:
        return 0
    return max(1, -(-place.estimate // timedelta(minutes=1)))


def _poll_seconds(place: Place | None) -> int:
    """How soon to look in again; 0 when there is nothing to wait for."""
    if place is None:
        return 5
    if place.state in ("none", "over"):
        return 0
    if place.state == "waiting":
        return 3
    is_soon = place.now < place.opens_at <= place.now + FAR
    return 3 if place.state == "early" and is_soon else 10
