"""An unpaid order given back, held again, or changed into another quantity."""

from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from django.utils.translation import gettext as _

from sales import counters, demand, flash, orders
from sales.checkout import finding
from sales.counters import ClaimRefused, Code, StepRefused
from sales.models import FlashSaleItem, Order, OrderState
from sales.orders import NotPossible

if TYPE_CHECKING:
    from django.contrib.auth.models import User


LINE_FIRST = "line_first"  # why a quantity stays as it is; no answer to a claim


def cancel(order_id: UUID, *, actor: "User | None" = None) -> None:
    """Give an unpaid order's units back at once. Safe to repeat.

    Raises NotPossible once payment has begun.
    """
    order = Order.objects.filter(pk=order_id).first()
    if order is not None and not order.is_flash:
        orders.cancel(order_id, actor=actor)
        return
    item, claim_id = finding.claim_of(order_id, order)
    try:
        counters.release(
            item.pk, epoch=item.epoch, order_id=claim_id, reason="cancelled"
        )
    except StepRefused as error:
        if error.code is Code.UNKNOWN:
            raise Order.DoesNotExist(order_id) from error
        raise NotPossible(
            _("Payment has begun; this order can be refunded, not cancelled.")
        ) from error
    finding.note(item, claim_id, OrderState.CANCELLED)


def claim_again(order_id: UUID) -> counters.Admitted:
    """Hold the units of an expired or cancelled flash order once more.

    What was answered is counted, as for a claim. Raises ClaimRefused with its code,
    NotPossible for a refunded order.
    """
    item, claim_id = _claim_of(order_id)
    stored = counters.find(item.pk, claim_id)
    if stored is None:
        raise NotPossible(_("This order cannot be held again."))
    ask = partial(_hold_again_from_room, item, claim_id, stored.buyer)
    return flash.counted(item.pk, ask, units=stored.quantity)


def _hold_again_from_room(
    item: FlashSaleItem, claim_id: UUID, buyer: str
) -> counters.Admitted:
    try:
        return _hold_again(item, claim_id)
    except ClaimRefused as refusal:
        if refusal.code != flash.OUTSIDE or not flash.may_enter(item.pk, buyer):
            raise
    return _hold_again(item, claim_id, inside=True)


def _claim_of(order_id: UUID) -> tuple[FlashSaleItem, UUID]:
    return finding.claim_of(order_id, Order.objects.filter(pk=order_id).first())


def _hold_again(
    item: FlashSaleItem, claim_id: UUID, *, inside: bool = False
) -> counters.Admitted:
    try:
        admitted = counters.reclaim(
            item.pk, epoch=item.epoch, order_id=claim_id, target="held", inside=inside
        )
    except StepRefused as error:
        raise NotPossible(_("This order cannot be held again.")) from error
    finding.note(item, claim_id, OrderState.HELD)
    return admitted


class NotChanged(Exception):
    """A claim could not be changed; `is_kept` says whether the old one still holds."""

    def __init__(self, refusal: ClaimRefused, *, is_kept: bool) -> None:
        self.refusal = refusal
        self.is_kept = is_kept
        super().__init__(refusal.code)


def change_claim(
    item_id: int, old_id: UUID, *, order_id: UUID, buyer: str, quantity: int
) -> counters.Admitted:
    """Give an unpaid claim back and claim another quantity under a new order id.

    What cannot succeed is refused before anything is given back. In between, somebody
    else may take the units: then the old claim is held again if that is possible.
    Raises NotChanged, NotPossible once payment has begun, NotLoaded or Unsure.
    """
    _refuse_hopeless(item_id, old_id, buyer, quantity)
    cancel(old_id)
    try:
        return flash.claim(item_id, order_id=order_id, buyer=buyer, quantity=quantity)
    except ClaimRefused as refusal:
        try:
            _hold_again(*_claim_of(old_id), inside=True)
        except (ClaimRefused, NotPossible):
            raise NotChanged(refusal, is_kept=False) from refusal
        raise NotChanged(refusal, is_kept=True) from refusal


def _refuse_hopeless(item_id: int, old_id: UUID, buyer: str, quantity: int) -> None:
    """Raise NotChanged if the item cannot give that many, the old claim's included.

    Or if the buyer would have to wait in the waiting room for them.
    """
    live = flash.live([item_id]).get(item_id)
    old = counters.find(item_id, old_id)
    if live is None or old is None or old.state != OrderState.HELD:
        return
    # What is given back goes to the line first, so it may not come back.
    most = max(0, live.left - live.floor - live.waiting + old.quantity)
    refusal = None
    if live.state not in ("open", "all_held", "sold_out"):
        refusal = ClaimRefused(live.state)
    elif quantity > live.limit:
        refusal = ClaimRefused("limit_reached", live.limit - old.quantity)
    elif quantity > most:
        code = LINE_FIRST if live.waiting and not most else "sold_out"
        refusal = ClaimRefused(code, most)
    elif live.has_room and not flash.may_enter(item_id, buyer):
        refusal = ClaimRefused(flash.OUTSIDE)
    if refusal is not None:
        # A claim would be told that all are held while the line goes first.
        told = "all_held" if refusal.code == LINE_FIRST else refusal.code
        demand.note(item_id, told, units=quantity)
        raise NotChanged(refusal, is_kept=True)
