"""/api/v1 for flash sales and claims."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Header, P, Query, Router, Status

from catalog.api import page_of, product_of, unknown_sku
from catalog.callers import Token, caller_of, staff_of
from catalog.problems import Problem, declared, not_found
from catalog.schemas import ListOut
from sales import (
    audit,
    contacts,
    display,
    flash,
    offers,
    planning,
    recovery,
    sync,
    tags,
    waiting_room,
)
from sales.counters import ClaimRefused
from sales.flash import Live, Preloaded
from sales.models import FlashSale, FlashSaleItem, OrderState, SaleState
from sales.schemas import (
    AuditOut,
    ClaimIn,
    ClaimOut,
    FindingOut,
    FlashItemOut,
    FlashSaleIn,
    FlashSaleOut,
    SaleQuery,
)

router = Router(tags=["Flash sales"])
PAGE = 20
ITEMS_KNOWN_SECONDS = 30
SHOWN_TO_ALL = (
    SaleState.SCHEDULED,
    SaleState.LOADED,
    SaleState.LIVE,
    SaleState.PAUSED,
    SaleState.ENDED,
    SaleState.SETTLED,
)


@router.get(
    "",
    auth=Token(),
    response={200: ListOut[FlashSaleOut], **declared(422)},
    url_name="flash-sales",
)
def list_flash_sales(request: HttpRequest, filters: Query[SaleQuery]) -> dict[str, Any]:
    """Flash sales, the latest first, with live numbers. Codes: `bad_cursor`."""
    sales = _shown_to(request)
    if filters.state:
        sales = sales.filter(state=filters.state)
    page = page_of(sales, by="-opens_at", cursor=filters.cursor, size=PAGE)
    return {"items": _sales_out(page.items), "next": page.next}


@router.get(
    "/{int:sale_id}", auth=Token(), response={200: FlashSaleOut, **declared(404)}
)
def get_flash_sale(request: HttpRequest, sale_id: int) -> FlashSaleOut:
    """A flash sale with the live numbers of its items."""
    sale = FlashSale.objects.filter(pk=sale_id).first()
    if sale is None or not _may_see(request, sale):
        raise _no_sale()
    return _sale_out(sale)


@router.post(
    "",
    auth=Token("sales.add_flashsale"),
    response={201: FlashSaleOut, **declared(404, 409)},
    url_name="flash-sales",
)
def create_flash_sale(request: HttpRequest, body: FlashSaleIn) -> Status[FlashSaleOut]:
    """Make a flash sale and schedule it; it is preloaded before it opens.

    `units` of "all" takes all that is available at preload. Codes: `unknown_sku`,
    `not_possible`.
    """
    sale = planning.create(
        body.name,
        body.opens_at,
        body.closes_at,
        [
            planning.Offer(
                product=product_of(item.sku, published=False),
                units=None if item.units == "all" else item.units,
                price=item.price,
                limit_per_buyer=item.limit_per_buyer,
            )
            for item in body.items
        ],
        has_waiting_room=body.has_waiting_room,
        actor=staff_of(request),
    )
    return Status(201, _sale_out(sale))


@router.get(
    "/{int:sale_id}/audit",
    auth=Token("sales.view_flashsale"),
    response={200: AuditOut, **declared(404)},
)
def audit_flash_sale(request: HttpRequest, sale_id: int) -> AuditOut:
    """What must hold for this sale, with numbers and verdict; disturbs nobody."""
    _require(sale_id)
    report = audit.of_sale(sale_id)
    return AuditOut(
        verdict=report.verdict,
        at=report.at,
        findings=[FindingOut(**finding.as_json()) for finding in report.findings],
    )


@router.post(
    "/{int:sale_id}/preload",
    auth=Token("sales.change_flashsale"),
    response={200: FlashSaleOut, **declared(404, 409, 503)},
)
def preload_flash_sale(request: HttpRequest, sale_id: int) -> FlashSaleOut:
    """Set the units aside and put the counters into Redis now. Safe to repeat.

    Codes: `preload_failed` with a sentence for each item, `not_possible`.
    """
    _require(sale_id)
    outcomes = flash.preload(sale_id, actor=staff_of(request))
    recovery.open_fence()
    if outcomes and all(outcome.error for outcome in outcomes):
        raise Problem(
            409,
            "preload_failed",
            _("No item could be preloaded."),
            items=[{"sku": o.sku, "error": o.error} for o in outcomes],
        )
    return _sale_out(FlashSale.objects.get(pk=sale_id), outcomes)


@router.post(
    "/{int:sale_id}/pause",
    auth=Token("sales.change_flashsale"),
    response={200: FlashSaleOut, **declared(404, 409, 503)},
)
def pause_flash_sale(request: HttpRequest, sale_id: int) -> FlashSaleOut:
    """Admit nobody for now; payments go on. Codes: `not_possible`."""
    _require(sale_id)
    return _sale_out(flash.pause(sale_id, actor=staff_of(request)))


@router.post(
    "/{int:sale_id}/resume",
    auth=Token("sales.change_flashsale"),
    response={200: FlashSaleOut, **declared(404, 409, 503)},
)
def resume_flash_sale(request: HttpRequest, sale_id: int) -> FlashSaleOut:
    """Go on after a pause. Codes: `not_possible`."""
    _require(sale_id)
    return _sale_out(flash.resume(sale_id, actor=staff_of(request)))


@router.post(
    "/{int:sale_id}/end",
    auth=Token("sales.change_flashsale"),
    response={200: FlashSaleOut, **declared(404, 409, 503)},
)
def end_flash_sale(request: HttpRequest, sale_id: int) -> FlashSaleOut:
    """End the sale before its time; holds may still be paid. Codes: `not_possible`."""
    _require(sale_id)
    return _sale_out(flash.end(sale_id, actor=staff_of(request)))


@router.post(
    "/{int:sale_id}/waiting-room/open",
    auth=Token("sales.change_flashsale"),
    response={200: FlashSaleOut, **declared(404, 409, 503)},
)
def open_waiting_room(request: HttpRequest, sale_id: int) -> FlashSaleOut:
    """Let buyers in one after the other from now on; what is held stays held.

    Safe to repeat. Codes: `not_possible` when the sale is over.
    """
    return _turn_room(request, sale_id, is_on=True)


@router.post(
    "/{int:sale_id}/waiting-room/close",
    auth=Token("sales.change_flashsale"),
    response={200: FlashSaleOut, **declared(404, 409, 503)},
)
def close_waiting_room(request: HttpRequest, sale_id: int) -> FlashSaleOut:
    """Let everybody claim at once; nobody waits any more.

    Safe to repeat. Codes: `not_possible` when the sale is over.
    """
    return _turn_room(request, sale_id, is_on=False)


@router.post(
    "/{int:sale_id}/claims",
    auth=Token(required=True),
    response={200: ClaimOut, 201: ClaimOut, **declared(404, 409, 503)},
    url_name="claims",
)
def claim(
    request: HttpRequest,
    sale_id: int,
    body: ClaimIn,
    idempotency_key: Header[UUID, P(alias="Idempotency-Key")],  # type: ignore[type-arg, valid-type]
) -> Status[ClaimOut]:
    """Take units of a flash sale; they are held until `expires_at`.

    `Idempotency-Key` is a UUID of yours and becomes the order's id. After a time-out or
    503 `unsure` send the same call again: it answers 200 with the first answer if that
    one got through. In a sale with a waiting room join that first. Codes: `sold_out`,
    `all_held`, `limit_reached`, `not_started`, `ended`, `paused`, `conflict`,
    `waiting_room`, `not_loaded`, `unsure`, `unknown_sku`.
    """
    item_id = _item_of(sale_id, body.sku)
    try:
        admitted = flash.claim(
            item_id,
            order_id=idempotency_key,
            buyer=caller_of(request).buyer,
            quantity=body.quantity,
        )
    except ClaimRefused as refused:
        raise _refused(refused, item_id) from refused
    if body.email:
        contacts.remember(idempotency_key, body.email)
    return Status(
        200 if admitted.replayed else 201,
        ClaimOut(
            order_id=idempotency_key,
            state=OrderState.HELD,
            expires_at=sync.moment(admitted.expires_at),
            left=admitted.left,
        ),
    )


# -- Inside ------------------------------------------------------------------------


def _turn_room(request: HttpRequest, sale_id: int, *, is_on: bool) -> FlashSaleOut:
    _require(sale_id)
    waiting_room.turn(sale_id, is_on=is_on, actor=staff_of(request))
    return _sale_out(FlashSale.objects.get(pk=sale_id))


# Which item a SKU of a sale means, so that a claim in a rush needs no query.
_items: dict[tuple[int, str], tuple[int, float]] = {}


def _item_of(sale_id: int, sku: str) -> int:
    item_id, until = _items.get((sale_id, sku), (0, 0.0))
    if time.monotonic() < until:
        return item_id
    found = FlashSaleItem.objects.filter(sale_id=sale_id, product__sku=sku)
    item = found.values_list("pk", flat=True).first()
    if item is None:
        _items.pop((sale_id, sku), None)
        raise unknown_sku(sku) if _exists(sale_id) else _no_sale()
    _items[sale_id, sku] = item, time.monotonic() + ITEMS_KNOWN_SECONDS
    return item


def _refused(refused: ClaimRefused, item_id: int) -> Problem:
    extra: dict[str, Any] = {}
    if refused.code == "sold_out":
        extra = {"left": refused.left}
    elif refused.code == "all_held":
        tag = tags.read([item_id]).get(item_id)
        ends = tag.next_hold_at if tag else None
        extra = {"left": refused.left, "next_hold_at": ends}
    elif refused.code == "limit_reached":
        extra = {"still_allowed": refused.detail}
    elif refused.code == "not_started":
        extra = {"opens_at": sync.moment(refused.detail)}
    left = refused.left or extra.get("still_allowed", 0)
    detail = display.refusal(refused.code, left)
    if refused.code == "conflict":
        detail = _("This Idempotency-Key was used for another claim; make a new one.")
    return Problem(409, refused.code, detail, **extra)


def _shown_to(request: HttpRequest) -> QuerySet[FlashSale]:
    if caller_of(request).may("sales.view_flashsale"):
        return FlashSale.objects.all()
    return FlashSale.objects.filter(state__in=SHOWN_TO_ALL)


def _may_see(request: HttpRequest, sale: FlashSale) -> bool:
    return sale.state in SHOWN_TO_ALL or caller_of(request).may("sales.view_flashsale")


def _exists(sale_id: int) -> bool:
    return FlashSale.objects.filter(pk=sale_id).exists()


def _require(sale_id: int) -> None:
    if not _exists(sale_id):
        raise _no_sale()


def _no_sale() -> Problem:
    return not_found(_("There is no such flash sale."))


def _sale_out(sale: FlashSale, outcomes: Iterable[Preloaded] = ()) -> FlashSaleOut:
    errors = {outcome.item_id: outcome.error for outcome in outcomes}
    (shown,) = _sales_out([sale], errors)
    return shown


def _sales_out(
    sales: list[FlashSale], errors: Mapping[int, str] | None = None
) -> list[FlashSaleOut]:
    items = (
        FlashSaleItem.objects.filter(sale__in=sales)
        .select_related("product", "sale")
        .order_by("pk")
    )
    live = offers.live([item.pk for item in items if item.is_loaded])
    now = next((one.now for one in live.values()), timezone.now())
    by_sale: dict[int, list[FlashItemOut]] = {}
    for item in items:
        error = (errors or {}).get(item.pk) or None
        state = _state(item, live.get(item.pk), now)
        by_sale.setdefault(item.sale_id, []).append(
            _item_out(item, live.get(item.pk), state, error)
        )
    return [
        FlashSaleOut(
            id=sale.pk,
            name=sale.name,
            state=SaleState(sale.state),
            opens_at=sale.opens_at,
            closes_at=sale.closes_at,
            now=now,
            has_waiting_room=sale.has_waiting_room,
            items=by_sale.get(sale.pk, []),
        )
        for sale in sales
    ]


def _state(item: FlashSaleItem, live: Live | None, now: datetime) -> str:
    """What a claim would be told now, also when there are no live numbers."""
    if item.sale.state in display.OVER:
        return "ended"
    if live is not None:
        return live.state
    if now >= item.closes_at:
        return "ended"
    return "not_started" if now < item.opens_at else "not_loaded"


def _item_out(
    item: FlashSaleItem, live: Live | None, state: str, error: str | None
) -> FlashItemOut:
    settled = item if item.settled_at else None
    numbers = live or settled
    return FlashItemOut(
        sku=item.product.sku,
        name=item.product.name,
        price=item.price,
        regular_price=item.product.price,
        limit_per_buyer=live.limit if live else item.limit_per_buyer,
        state=state,
        units=numbers.units if numbers else item.requested_units,
        left=live.sellable if live else (0 if settled else None),
        floor=numbers.floor if numbers else None,
        held=numbers.held if numbers else None,
        paying=numbers.paying if numbers else None,
        paid=numbers.paid if numbers else None,
        error=error,
    )
