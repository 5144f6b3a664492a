"""Where an order is: a row, or a claim that is still in the stream."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep
from uuid import UUID

from django.utils.translation import gettext as _

from sales import counters, sync
from sales.counters import NotLoaded, Unsure
from sales.models import FlashSaleItem, Order
from sales.orders import NotPossible


@dataclass(frozen=True, slots=True)
class Pending:
    """A claim that Redis has decided and that is not in PostgreSQL yet."""

    order_id: UUID
    item_id: int
    buyer: str
    state: str
    quantity: int
    expires_at: datetime


def order_for_shopper(order_id: UUID) -> Order | Pending | None:
    """The order with its true state now, or its claim if it is not recorded yet.

    A flash order's state is read from Redis while the sale's counters are there, so
    the shopper never sees a state that is behind. Raises NotLoaded or Unsure only when
    there is neither a row nor a Redis to ask.
    """
    order = (
        Order.objects.select_related("flash_item__sale", "flash_item__product")
        .prefetch_related("lines__product")
        .filter(pk=order_id)
        .first()
    )
    if order is None:
        return _pending(order_id)
    item = order.flash_item
    if item is not None and item.has_keys and order.claim_id:
        try:
            stored = counters.find(item.pk, order.claim_id)
        except (NotLoaded, Unsure):
            stored = None
        if stored is not None:
            order.state = stored.state
            order.expires_at = sync.moment(stored.expires_at)
    return order


def record(order_id: UUID) -> Order:
    """The order's row; a claim that is still in the stream is drained first.

    Raises Order.DoesNotExist, NotPossible while it cannot be drained yet, NotLoaded or
    Unsure.
    """
    order = Order.objects.filter(pk=order_id).first()
    if order is None and (pending := _pending(order_id)):
        order = _drained(pending)
    if order is None:
        raise Order.DoesNotExist(order_id)
    return order


def _drained(pending: Pending) -> Order:
    """The row of a claim in the stream; waits a moment for whoever drains it now."""
    deadline = monotonic() + 1
    while monotonic() < deadline:
        drained = sync.drain(pending.item_id, budget=timedelta(seconds=1))
        order = Order.objects.filter(pk=pending.order_id).first()
        if order is not None:
            return order
        if not drained:
            sleep(0.02)
    raise NotPossible(_("Your order is being recorded; please try again in a moment."))


def _pending(order_id: UUID) -> Pending | None:
    """A claim of that id in any loaded item.

    Raises NotLoaded when it is in none, and some item cannot be asked.
    """
    doubt = None
    for item_id in sync.loaded_items():
        try:
            stored = counters.find(item_id, order_id)
        except NotLoaded as error:
            doubt = error
            continue
        if stored is not None:
            return Pending(
                order_id,
                item_id,
                stored.buyer,
                stored.state,
                stored.quantity,
                sync.moment(stored.expires_at),
            )
    if doubt is not None:
        raise doubt
    return None


def claim_of(order_id: UUID, order: Order | None) -> tuple[FlashSaleItem, UUID]:
    """The item and claim id of a flash order, recorded or not."""
    if order is not None and order.flash_item_id and order.claim_id:
        return FlashSaleItem.objects.get(pk=order.flash_item_id), order.claim_id
    pending = _pending(order_id)
    if pending is None:
        raise Order.DoesNotExist(order_id)
    return FlashSaleItem.objects.get(pk=pending.item_id), order_id


def note(item: FlashSaleItem, claim_id: UUID, state: str) -> None:
    """Note a claim's new state for recovery, before its buyer is told of it."""
    found = counters.look_up(item.pk, claim_id)
    if found is not None and found.claim.state == state:
        counters.journal(item.pk, claim_id, found, epoch=item.epoch)
