"""/api/v1 for the waiting list of a flash sale's product: join, look, leave."""

from uuid import UUID

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Router, Status

from catalog.api import unknown_sku
from catalog.callers import Token, caller_of
from catalog.problems import Problem, declared, not_found
from sales import display, waiting_list
from sales.models import EntryState, FlashSale, FlashSaleItem, WaitingEntry
from sales.schemas import WaitingEntryOut, WaitingIn
from sales.waiting_list import JoinRefused

router = Router(tags=["Flash sales"])
LIST = "/{int:sale_id}/waiting-list"
PLACE = LIST + "/{uuid:order_id}"


@router.post(
    LIST,
    auth=Token(required=True),
    response={200: WaitingEntryOut, 201: WaitingEntryOut, **declared(404, 409, 503)},
    url_name="waiting-list",
)
def join_waiting_list(
    request: HttpRequest, sale_id: int, body: WaitingIn
) -> Status[WaitingEntryOut]:
    """Get in line for a product of which none can be claimed now.

    What comes back is offered to the first in line: it is held for them as the order
    `order_id`, and they are written to. Fewer than `quantity` may be offered. A repeat
    answers 200 with the buyer's place. Codes: `available` with the units in `left`,
    `email_waits`, `limit_reached`, `not_started`, `ended`, `paused`, `not_loaded`,
    `unsure`, `unknown_sku`.
    """
    caller = caller_of(request)
    email = body.email or (caller.user.email if caller.user else "")
    if not email:
        raise Problem(422, "invalid", _("Send the e-mail address of the buyer."))
    try:
        joined = waiting_list.join(
            _item_of(sale_id, body.sku),
            buyer=caller.buyer,
            quantity=body.quantity,
            email=email,
            user=caller.user,
        )
    except JoinRefused as refused:
        raise _refused(refused) from refused
    return Status(201 if joined.is_new else 200, _out(joined.entry))


@router.get(
    PLACE,
    auth=Token(required=True),
    response={200: WaitingEntryOut, **declared(404)},
    url_name="place-in-line",
)
def get_place_in_line(
    request: HttpRequest, sale_id: int, order_id: UUID
) -> WaitingEntryOut:
    """How an entry stands. Once it is `offered`, read and pay the order of its id."""
    return _out(_entry_of(request, sale_id, order_id))


@router.delete(
    PLACE,
    auth=Token(required=True),
    response={200: WaitingEntryOut, **declared(404, 409)},
    url_name="place-in-line",
)
def leave_waiting_list(
    request: HttpRequest, sale_id: int, order_id: UUID
) -> WaitingEntryOut:
    """Give the place to whoever is behind. Safe to repeat.

    Codes: `not_possible` once there is an offer; cancel that order instead.
    """
    entry = _entry_of(request, sale_id, order_id)
    return _out(waiting_list.leave(entry.order_id))


# -- Inside ------------------------------------------------------------------------


def _item_of(sale_id: int, sku: str) -> int:
    items = FlashSaleItem.objects.filter(sale_id=sale_id)
    item_id = items.filter(product__sku=sku).values_list("pk", flat=True).first()
    if item_id is not None:
        return item_id
    if FlashSale.objects.filter(pk=sale_id).exists():
        raise unknown_sku(sku)
    raise not_found(_("There is no such flash sale."))


def _entry_of(request: HttpRequest, sale_id: int, order_id: UUID) -> WaitingEntry:
    """An entry of the caller; another's does not exist for them."""
    entry = waiting_list.find(order_id)
    caller = caller_of(request)
    if entry is None or entry.item.sale_id != sale_id:
        raise not_found(_("There is no such place in a waiting list."))
    if entry.buyer != caller.buyer and not caller.may("sales.view_order"):
        raise not_found(_("There is no such place in a waiting list."))
    return entry


def _refused(refused: JoinRefused) -> Problem:
    left = refused.detail if refused.code == "available" else None
    allowed = refused.detail if refused.code == "limit_reached" else None
    sentence = display.not_joined(refused.code, refused.detail)
    return Problem(409, refused.code, sentence, left=left, still_allowed=allowed)


def _out(entry: WaitingEntry) -> WaitingEntryOut:
    return WaitingEntryOut(
        order_id=entry.order_id,
        state=EntryState(entry.state),
        place=waiting_list.place_of(entry) or None,
        quantity=entry.quantity,
        reason=entry.reason,
        created_at=entry.created_at,
        offered_at=entry.offered_at,
    )
