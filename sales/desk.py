"""What the merchant sees of flash sales now: counters, lag and queues, in one look."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.db.models.functions import TruncHour, TruncMinute
from django.utils import timezone

from sales import counters, flash, sync
from sales.counters import NotLoaded, Snapshot, Unsure
from sales.models import (
    FlashSale,
    FlashSaleItem,
    ItemState,
    Order,
    OrderState,
    SaleState,
)

OPEN_ORDERS = (OrderState.HELD, OrderState.PAYING)


@dataclass(frozen=True, slots=True)
class ItemNow:
    """One item with its counters: from Redis while they are there, else as stored."""

    item: FlashSaleItem
    units: int
    left: int
    floor: int
    held: int
    paying: int
    paid: int
    unsynced: int = 0
    is_live: bool = False
    waiting: int = 0  # units that people in line want

    @property
    def sellable(self) -> int:
        return max(0, self.left - self.floor)

    @property
    def promised(self) -> int:
        """Held or being paid."""
        return self.held + self.paying

    @property
    def sell_through(self) -> int:
        """Paid units in percent of what could be sold at all."""
        return _percent(self.paid, self.units - min(self.floor, self.left))

    @property
    def bar(self) -> list[tuple[str, int, float]]:
        """Name, units and percent of each part of the allocation."""
        kept = min(self.floor, self.left)
        parts = [
            ("paid", self.paid),
            ("promised", self.promised),
            ("sellable", self.sellable),
            ("kept", kept),
        ]
        whole = max(1, self.units)
        return [(name, units, 100 * units / whole) for name, units in parts]


@dataclass(frozen=True, slots=True)
class SaleNow:
    """A sale with its items; `is_doubtful` when Redis could not be asked."""

    sale: FlashSale
    items: list[ItemNow]
    is_doubtful: bool = False

    @property
    def is_loaded(self) -> bool:
        """Whether units have been set aside for any of its products."""
        return any(item.item.state != ItemState.WAITING for item in self.items)

    @property
    def unsynced(self) -> int:
        return sum(item.unsynced for item in self.items)

    @property
    def stopped(self) -> int:
        """Products that nobody can buy because their numbers are in doubt."""
        return sum(item.item.is_stopped for item in self.items)


def _percent(part: int, whole: int) -> int:
    return round(100 * part / whole) if whole > 0 else 0


def _item_now(item: FlashSaleItem, snapshot: Snapshot | None) -> ItemNow:
    if snapshot is None:
        return ItemNow(
            item,
            item.units,
            item.left,
            item.floor,
            item.held,
            item.paying,
            item.paid,
        )
    return ItemNow(
        item,
        snapshot.units,
        snapshot.left,
        snapshot.floor,
        snapshot.held,
        snapshot.paying,
        snapshot.paid,
        unsynced=max(0, snapshot.seq - item.last_seq),
        is_live=True,
        waiting=snapshot.waiting,
    )


def sales_now(sales: Sequence[FlashSale]) -> list[SaleNow]:
    """The sales with their live counters; `items__product` must be prefetched.

    One trip to Redis for all of them. A Redis that does not answer is said, not raised:
    the numbers are those of the last sync then.
    """
    loaded = [item.pk for sale in sales for item in sale.items.all() if item.is_loaded]
    found: dict[int, Snapshot] = {}
    is_doubtful = False
    if loaded:
        try:
            found = counters.snapshots(loaded)
        except (NotLoaded, Unsure):
            is_doubtful = True
    return [
        SaleNow(
            sale,
            [_item_now(item, found.get(item.pk)) for item in sale.items.all()],
            is_doubtful
            or any(
                item.is_loaded and item.pk not in found for item in sale.items.all()
            ),
        )
        for sale in sales
    ]


def current_sales() -> list[FlashSale]:
    """Sales that run, come, or have ended and are not settled; soonest first."""
    states = (*flash.RUNNING, SaleState.SCHEDULED, SaleState.ENDED)
    sales = FlashSale.objects.filter(state__in=states).order_by("opens_at", "pk")
    return list(sales.prefetch_related("items__product"))


def oldest_unsynced(sales: Iterable[SaleNow]) -> datetime | None:
    """When the oldest event was written that PostgreSQL does not have yet."""
    waiting = [item.item for sale in sales for item in sale.items if item.unsynced]
    try:
        moments = [sync.oldest_waiting(item) for item in waiting]
    except (NotLoaded, Unsure):
        return None
    return min((moment for moment in moments if moment), default=None)


def promises(product_id: int, *, limit: int = 50) -> list[Order]:
    """Open orders that hold units of a product, the first to expire first.

    Each has `units_held`, what it holds of this product.
    """
    orders = Order.objects.filter(
        lines__product=product_id, state__in=OPEN_ORDERS
    ).select_related("flash_item__sale")
    rows = orders.prefetch_related("lines").order_by("expires_at", "pk")[:limit]
    for order in rows:
        lines = [line for line in order.lines.all() if line.product_id == product_id]
        order.units_held = sum(line.quantity for line in lines)  # type: ignore[attr-defined]
    return list(rows)


@dataclass(frozen=True, slots=True)
class OrderCount:
    """Orders begun in one minute or hour."""

    start: datetime
    regular: int
    flash: int


SPANS = {
    "hour": (timedelta(hours=1), timedelta(minutes=1), TruncMinute),
    "day": (timedelta(days=1), timedelta(hours=1), TruncHour),
}


def order_counts(span: str, *, now: datetime | None = None) -> list[OrderCount]:
    """Orders per minute of the last hour, or per hour of the last day; no gaps."""
    length, step, truncate = SPANS[span]
    last = (now or timezone.now()).replace(second=0, microsecond=0)
    if step >= timedelta(hours=1):
        last = last.replace(minute=0)
    first = last - length + step
    rows = (
        Order.objects.filter(created_at__gte=first)
        .order_by()
        .values(start=truncate("created_at"))
        .annotate(
            regular=Count("pk", filter=Q(flash_item=None)),
            flash=Count("pk", filter=Q(flash_item__isnull=False)),
        )
    )
    found = {row["start"]: OrderCount(**row) for row in rows}
    steps = range(int(length / step))
    starts = [first + number * step for number in steps]
    return [found.get(start, OrderCount(start, 0, 0)) for start in starts]
