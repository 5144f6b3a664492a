"""Is a sale ready to open? Each condition as a sentence, then go or no-go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from catalog.models import Stock
from sales import counters, payments, sync
from sales.counters import NotLoaded, Unsure
from sales.models import FlashSale, FlashSaleItem, ItemState, SaleState

CLOSE_ENOUGH = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Check:
    """One condition: whether it is met, and what to do if it is not."""

    is_met: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Operations:
    """What runs beside the web server, as far as the queues know."""

    idle_queues: Sequence[str]
    schedules: int


def of_sale(sale: FlashSale, operations: Operations) -> list[Check]:
    """Every condition for the sale to open and run by itself, in a fixed order."""
    items = list(sale.items.select_related("product__stock").order_by("pk"))
    checks: list[Callable[[], Check]] = [
        lambda: _state(sale),
        lambda: _window(sale),
        lambda: _products(items),
        lambda: _overlaps(sale, items),
        lambda: _workers(operations),
        lambda: _schedule(operations),
        lambda: _gateway(),
        lambda: _clocks(),
    ]
    return [check() for check in checks] + [_units(item) for item in items]


def _state(sale: FlashSale) -> Check:
    planned = (SaleState.SCHEDULED, SaleState.LOADED, SaleState.LIVE)
    if sale.state in planned:
        return Check(True, _("The sale is planned; it is loaded and opened in time."))
    return Check(False, _("The sale is a draft. Press “Schedule” when it is ready."))


def _window(sale: FlashSale) -> Check:
    if sale.closes_at > timezone.now():
        return Check(True, _("Its times are still to come."))
    return Check(False, _("It would be over already. Choose later times."))


def _products(items: list[FlashSaleItem]) -> Check:
    hidden = [item.product.name for item in items if not item.product.is_published]
    if not items:
        return Check(False, _("There are no products in it. Add at least one."))
    if hidden:
        return Check(
            False,
            _("Not in the shop, so nobody sees it: %(names)s. Publish it first.")
            % {"names": ", ".join(hidden)},
        )
    sentence = ngettext(
        "%(count)s product, in the shop.",
        "%(count)s products, all in the shop.",
        len(items),
    )
    return Check(True, sentence % {"count": len(items)})


def _overlaps(sale: FlashSale, items: list[FlashSaleItem]) -> Check:
    others = (
        FlashSaleItem.objects.filter(
            product__in=[item.product_id for item in items],
            opens_at__lt=sale.closes_at,
            closes_at__gt=sale.opens_at,
        )
        .exclude(sale=sale)
        .exclude(state=ItemState.SETTLED)
        .select_related("sale", "product")
    )
    other = others.first()
    if other is None:
        return Check(True, _("No product is in another sale at that time."))
    return Check(
        False,
        _("%(product)s is in “%(sale)s” at that time.")
        % {"product": other.product.name, "sale": other.sale.name},
    )


def _workers(operations: Operations) -> Check:
    if not operations.idle_queues:
        return Check(True, _("Workers are there for every queue."))
    return Check(
        False,
        _("No worker for: %(queues)s. Start one with “manage.py rqworker”.")
        % {"queues": ", ".join(operations.idle_queues)},
    )


def _schedule(operations: Operations) -> Check:
    if operations.schedules == 1:
        return Check(True, _("The schedule runs."))
    if operations.schedules:
        return Check(
            False,
            _("%(count)s schedules run, and one is right: everything is done twice.")
            % {"count": operations.schedules},
        )
    return Check(
        False, _("No schedule runs. Start “manage.py rqcron”, or preload by hand.")
    )


def _gateway() -> Check:
    try:
        gateway = payments.default()
    except ImproperlyConfigured:
        return Check(False, _("No payment provider is set up, so nobody could pay."))
    return Check(True, _("Payments go to “%(name)s”.") % {"name": gateway.name})


def _clocks() -> Check:
    """Redis opens and closes sales; the others must agree with it."""
    try:
        redis = sync.moment(counters.clock())
    except (NotLoaded, Unsure):
        return Check(False, _("The sale's Redis does not answer."))
    here = timezone.now()
    database = FlashSale.objects.values_list(Now(), flat=True).first() or here
    drift = max(abs(redis - here), abs(redis - database))
    if drift <= CLOSE_ENOUGH:
        return Check(True, _("All clocks agree."))
    return Check(
        False,
        _("The clocks of the servers differ by %(seconds).1f s. Check NTP.")
        % {"seconds": drift.total_seconds()},
    )


def _units(item: FlashSaleItem) -> Check:
    """Whether the stock holds what the sale asks for, above the threshold."""
    if item.state != ItemState.WAITING:
        return Check(
            True,
            _("%(product)s: %(units)s units are set aside.")
            % {"product": item.product.name, "units": item.units},
        )
    row: Stock = item.product.stock
    units = item.requested_units or row.available
    floor = max(0, row.safety_threshold - (row.available - units))
    words = {
        "product": item.product.name,
        "units": units,
        "available": row.available,
        "sold": max(0, units - floor),
    }
    if units > row.available:
        return Check(
            False,
            _("%(product)s: %(units)s units asked, %(available)s available.") % words,
        )
    if units <= floor:
        return Check(
            False,
            _("%(product)s: nothing is above the safety threshold to be sold.") % words,
        )
    return Check(
        True,
        _("%(product)s: %(sold)s of %(units)s units can be sold.") % words,
    )
