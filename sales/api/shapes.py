"""Orders as the API shows them, and who may see one."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from catalog.callers import NOBODY, Caller, caller_of
from catalog.problems import Problem, not_found
from sales import checkout, waiting_list
from sales.checkout import Pending
from sales.models import FlashSaleItem, Order, OrderState
from sales.schemas import OrderLineOut, OrderOut


def order_of(
    request: HttpRequest, order_id: UUID, *, staff: str = ""
) -> Order | Pending:
    """An order the caller may see: their own, or with the permission `staff`, any."""
    caller = caller_of(request)
    found = checkout.order_for_shopper(order_id)
    if found is None:
        raise _no_order(order_id, caller)
    if is_theirs(found, caller) or (staff and caller.may(staff)):
        return found
    if caller == NOBODY:
        raise Problem(401, "unauthorized", _("Send the token of this order's buyer."))
    raise not_found(_("There is no such order."))


def _no_order(order_id: UUID, caller: Caller) -> Problem:
    """That there is none, and where a buyer in line for it learns more."""
    entry = waiting_list.find(order_id)
    if entry is None or entry.buyer != caller.buyer:
        return not_found(_("There is no such order."))
    return Problem(
        404,
        "not_offered",
        _("Nothing is held for this place in line; ask how the place stands."),
        state=entry.state,
        see=reverse("api-1:place-in-line", args=[entry.item.sale_id, order_id]),
    )


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
