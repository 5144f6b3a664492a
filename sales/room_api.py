"""/api/v1 for the waiting room of a flash sale: join, look in, leave."""

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Router

from catalog.callers import Token, caller_of
from catalog.problems import declared, not_found
from sales import waiting_room
from sales.models import FlashSale
from sales.schemas import WaitingRoomOut
from sales.waiting_room import Place, Room

router = Router(tags=["Flash sales"])
PATH = "/{int:sale_id}/waiting-room"


@router.post(
    PATH,
    auth=Token(required=True),
    response={200: WaitingRoomOut, **declared(404, 503)},
    url_name="waiting-room",
)
def join_waiting_room(request: HttpRequest, sale_id: int) -> WaitingRoomOut:
    """Take a place in a sale's waiting room, or keep the one the token's buyer has.

    Before the sale opens places are drawn by lot, later ones go by arrival. Once
    `inside` is true, claim until `pass_ends_at`; until then ask again with GET every
    few seconds. A sale without a room (`state` is `none`) lets everybody claim. Codes:
    `not_loaded`.
    """
    return _out(waiting_room.join(_room(sale_id), caller_of(request).buyer))


@router.get(
    PATH,
    auth=Token(required=True),
    response={200: WaitingRoomOut, **declared(404, 503)},
    url_name="waiting-room",
)
def look_into_waiting_room(request: HttpRequest, sale_id: int) -> WaitingRoomOut:
    """The buyer's place now. Whose turn has come is inside by looking in.

    Codes: `not_loaded`.
    """
    return _out(waiting_room.look(_room(sale_id), caller_of(request).buyer))


@router.delete(
    PATH,
    auth=Token(required=True),
    response={200: WaitingRoomOut, **declared(404, 503)},
    url_name="waiting-room",
)
def leave_waiting_room(request: HttpRequest, sale_id: int) -> WaitingRoomOut:
    """Give the buyer's place to the next. Safe to repeat. Codes: `not_loaded`."""
    room, buyer = _room(sale_id), caller_of(request).buyer
    waiting_room.leave(room, buyer)
    return _out(waiting_room.look(room, buyer))


def _room(sale_id: int) -> Room:
    try:
        return waiting_room.of_sale(sale_id)
    except FlashSale.DoesNotExist:
        raise not_found(_("There is no such flash sale.")) from None


def _out(place: Place) -> WaitingRoomOut:
    estimate = place.estimate
    return WaitingRoomOut(
        state=place.state,
        inside=place.is_inside,
        place=place.place,
        ahead=place.ahead,
        estimated_seconds=round(estimate.total_seconds()) if estimate else None,
        pass_ends_at=place.until,
        opens_at=place.opens_at,
        now=place.now,
    )
