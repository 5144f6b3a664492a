"""What came of a flash sale: how fast it sold, to whom, and that nothing oversold."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Max, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog.files import cells
from sales import demand, waiting_list
from sales.demand import Demand
from sales.models import (
    FlashEvent,
    FlashSale,
    FlashSaleItem,
    Order,
    OrderState,
)

STEPS = 60
MOVES = ("claim", "reclaim", "release", "refund")
COLUMNS = (
    "sku",
    "units",
    "offered",
    "claims",
    "buyers",
    "paid",
    "refunded",
    "expired_holds",
    "refused_claims",
    "unmet_units",
    "limit_hits",
    "busiest_minute",
    "sell_through",
    "oversold",
    "revenue",
    "sold_out_at",
    "seconds_to_sell_out",
)


@dataclass(slots=True)
class ItemReport:
    """One product of the sale; every number is folded from the item's events."""

    item: FlashSaleItem
    claims: int = 0
    buyers: int = 0
    claimed: int = 0  # units, net of what came back
    paid: int = 0
    refunded: int = 0
    expired_holds: int = 0
    sold_out_at: datetime | None = None
    revenue: Decimal = Decimal(0)
    curve: list[int] = field(default_factory=list)
    demand: Demand = field(default_factory=Demand)
    busiest_minute: int = 0  # the most claims in one minute

    @property
    def refused_claims(self) -> int:
        return self.demand.refused

    @property
    def unmet_units(self) -> int:
        """Units wanted when none, or fewer, were left; a second try counts again."""
        return self.demand.unmet

    @property
    def limit_hits(self) -> int:
        """Claims for more than one buyer may have."""
        return self.demand.over_limit

    @property
    def offered(self) -> int:
        """Units that could be sold at all: without those kept as safety stock."""
        return max(0, self.item.units - self.item.floor)

    @property
    def sell_through(self) -> int:
        """Paid units in percent of those offered."""
        return round(100 * self.paid / self.offered) if self.offered else 0

    @property
    def oversold(self) -> int:
        """Units promised beyond the allocation, by the counters beside it."""
        return max(0, self.promised - self.item.units)

    @property
    def shares(self) -> list[int]:
        """The curve in percent of the units offered; all 0 when none was."""
        offered = self.offered or 1
        return [round(100 * claimed / offered) for claimed in self.curve]

    @property
    def time_to_sell_out(self) -> timedelta | None:
        if self.sold_out_at is None:
            return None
        return self.sold_out_at - self.item.opens_at

    @property
    def seconds_to_sell_out(self) -> float | None:
        taken = self.time_to_sell_out
        return None if taken is None else round(taken.total_seconds(), 1)

    @property
    def sold_out_after(self) -> str:
        """The time to sell out, for people."""
        taken = self.time_to_sell_out
        return "" if taken is None else span(taken)

    @property
    def promised(self) -> int:
        """Units held, being paid and paid, by the counters beside the allocation."""
        return self.item.held + self.item.paying + self.item.paid


@dataclass(frozen=True, slots=True)
class SaleReport:
    """The sale with its products; `moments` are the ends of the curves' steps."""

    sale: FlashSale
    items: list[ItemReport]
    moments: list[datetime]
    orders: dict[str, int]
    line: dict[str, int]  # of the waiting lists: joined, offers, bought

    @property
    def revenue(self) -> Decimal:
        return sum((item.revenue for item in self.items), Decimal(0))

    @property
    def oversold(self) -> int:
        return sum(item.oversold for item in self.items)

    @property
    def claims(self) -> int:
        return sum(item.claims for item in self.items)

    @property
    def demand(self) -> Demand:
        """The demand for all of its products."""
        return demand.together(item.demand for item in self.items)


def lines(report: SaleReport) -> Iterator[list[str]]:
    """The report as rows of text, none of them a formula: a header, then products."""
    yield list(COLUMNS)
    for item in report.items:
        found = {
            "sku": cells.guarded(item.item.product.sku),
            "units": item.item.units,
            "sold_out_at": item.sold_out_at and item.sold_out_at.isoformat(),
        }
        row = [found[n] if n in found else getattr(item, n) for n in COLUMNS]
        yield ["" if value is None else str(value) for value in row]


def of_sale(sale: FlashSale) -> SaleReport:
    """Fold the events that are in PostgreSQL; also of a sale that still runs."""
    items = list(sale.items.select_related("product").order_by("pk"))
    moments = _moments(sale)
    revenues = dict(
        Order.objects.filter(flash_item__in=items, state=OrderState.PAID)
        .order_by()
        .values_list("flash_item")
        .annotate(Sum("total"))
    )
    item_ids = [item.pk for item in items]
    demands = demand.of_items(item_ids, now=timezone.now())
    busiest = demand.busiest_minutes(item_ids)
    reports = []
    for item in items:
        report = _fold(item, moments)
        report.revenue = revenues.get(item.pk, Decimal(0))
        report.demand = demands[item.pk]
        report.busiest_minute = busiest.get(item.pk, 0)
        reports.append(report)
    states = Order.objects.filter(flash_item__in=items).values_list("state", flat=True)
    counted = Counter(states.iterator())
    orders = {
        str(OrderState(state).label): counted[state]
        for state in OrderState.values
        if counted[state]
    }
    return SaleReport(sale, reports, moments, orders, waiting_list.tally(items))


def span(time: timedelta) -> str:
    """A length of time for people: with tenths of a second while they count."""
    if time < timedelta(minutes=1):
        return _("%(seconds).1f seconds") % {"seconds": time.total_seconds()}
    return str(timedelta(seconds=round(time.total_seconds())))


def _moments(sale: FlashSale) -> list[datetime]:
    """Equal steps from the opening until a unit was taken, or came back, last.

    A rush is over in seconds; drawn over days it would be one upright line.
    """
    moves = FlashEvent.objects.filter(item__sale=sale, kind__in=MOVES)
    last = moves.aggregate(last=Max("at"))["last"] or sale.closes_at
    end = max(sale.opens_at, min(last, sale.closes_at))
    whole = end - sale.opens_at
    return [sale.opens_at + whole * number / STEPS for number in range(1, STEPS + 1)]


def _fold(item: FlashSaleItem, moments: list[datetime]) -> ItemReport:
    report = ItemReport(item)
    offered = report.offered
    buyers: set[str] = set()
    events = FlashEvent.objects.filter(item=item, is_poison=False).order_by("seq")
    rows = events.values_list("kind", "quantity", "buyer", "at", "details")
    for kind, quantity, buyer, at, details in rows.iterator(chunk_size=5000):
        while len(report.curve) < len(moments) and at > moments[len(report.curve)]:
            report.curve.append(report.claimed)
        if kind == "claim":
            report.claims += 1
            buyers.add(buyer)
        if "units" in details and "floor" in details:  # as of this event
            offered = max(0, int(details["units"]) - int(details["floor"]))
        _count(report, kind, quantity, details)
        if report.sold_out_at is None and 0 < offered <= report.claimed:
            report.sold_out_at = at
    report.curve += [report.claimed] * (len(moments) - len(report.curve))
    report.buyers = len(buyers)
    return report


def _count(
    report: ItemReport, kind: str, quantity: int, details: dict[str, str]
) -> None:
    if kind in ("claim", "reclaim"):
        report.claimed += quantity
    elif kind == "release":
        report.claimed -= quantity
        report.expired_holds += details.get("reason") == "expired"
    elif kind == "confirm":
        report.paid += quantity
    elif kind == "refund":
        report.refunded += quantity
        report.paid -= quantity
        report.claimed -= quantity
