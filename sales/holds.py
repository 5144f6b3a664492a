"""What a shopper holds of flash sales right now, to be paid before it ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Q

from sales import counters, sync
from sales.counters import NotLoaded, Unsure
from sales.models import FlashSaleItem, Order, OrderState

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    from sales.counters import StoredClaim

OPEN = (OrderState.HELD, OrderState.PAYING)


@dataclass(frozen=True, slots=True)
class Hold:
    """Units of one flash item that one order holds, or that are being paid."""

    order_id: UUID
    item: FlashSaleItem
    quantity: int
    total: Decimal
    state: str
    expires_at: datetime

    @property
    def is_paying(self) -> bool:
        return self.state == OrderState.PAYING


def of(
    user: "User | AnonymousUser", claims: Mapping[int, UUID], *, now: datetime
) -> list[Hold]:
    """The open holds of an account and of a browser's `claims`, soonest end first.

    A guest without claims costs no query. Claims that are not recorded yet are asked
    of Redis; while it does not answer they are left out.
    """
    if not claims and not user.is_authenticated:
        return []
    wanted = Q(pk__in=list(claims.values()))
    if user.is_authenticated:
        wanted |= Q(user=user.pk, state__in=OPEN)
    rows = Order.objects.filter(wanted, flash_item__isnull=False)
    rows = rows.select_related("flash_item__sale", "flash_item__product")
    recorded = list(rows.prefetch_related("lines"))
    known = {order.pk for order in recorded}
    missing = {pk: order_id for pk, order_id in claims.items() if order_id not in known}
    mine = [order for order in recorded if order.user_id in (None, user.pk)]
    found = [_recorded(order) for order in mine] + _unrecorded(missing)
    alive = [hold for hold in found if hold.is_paying or hold.expires_at > now]
    still = [hold for hold in alive if hold.state in OPEN]
    return sorted(still, key=lambda hold: (hold.expires_at, hold.item.pk))


def _recorded(order: Order) -> Hold:
    assert order.flash_item is not None
    return Hold(
        order_id=order.pk,
        item=order.flash_item,
        quantity=sum(line.quantity for line in order.lines.all()),
        total=order.total,
        state=order.state,
        expires_at=order.expires_at,
    )


def _unrecorded(claims: Mapping[int, UUID]) -> list[Hold]:
    stored = {item_id: _ask(item_id, order_id) for item_id, order_id in claims.items()}
    alive = {pk: claim for pk, claim in stored.items() if claim and claim.state in OPEN}
    if not alive:
        return []
    items = FlashSaleItem.objects.select_related("sale", "product")
    return [
        Hold(
            order_id=claims[item.pk],
            item=item,
            quantity=alive[item.pk].quantity,
            total=item.price * alive[item.pk].quantity,
            state=alive[item.pk].state,
            expires_at=sync.moment(alive[item.pk].expires_at),
        )
        for item in items.filter(pk__in=alive)
    ]


def _ask(item_id: int, order_id: UUID) -> "StoredClaim | None":
    try:
        return counters.find(item_id, order_id)
    except (NotLoaded, Unsure):
        return None
