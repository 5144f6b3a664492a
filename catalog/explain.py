"""Why a figure of the stock desk is what it is: its parts, each with where it leads.

Everything here reads; the numbers are those of the row that is given.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog.columns import BADGES, cause_link
from catalog.models import (
    Category,
    StatusChange,
    Stock,
    StockMovement,
    Store,
    ThresholdChange,
)
from catalog.status import StockStatus
from catalog.thresholds import Defaults

RECENT = 20
CHARTED = 200
MARKS = {
    StockStatus.IN.value: "#16a34a",
    StockStatus.LOW.value: "#ea580c",
    StockStatus.OUT.value: "#dc2626",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One number of a formula, in words, and where it comes from.

    `is_taken_off` is said of each: a 0 that is taken off has no sign of its own.
    """

    size: int
    text: str
    url: str
    is_taken_off: bool = False

    @property
    def number(self) -> int:
        return -self.size if self.is_taken_off else self.size


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with the parts that make it up; `note` says what they do not."""

    name: str
    label: str
    number: int
    parts: list[Part] = field(default_factory=list)
    note: str = ""


def explain(row: Stock) -> dict[str, Any]:
    """All of a row's figures with their parts, and what last changed them."""
    product = row.product
    movements = list(product.movements.select_related("actor")[:CHARTED])
    levels = list(product.threshold_changes.select_related("actor")[:CHARTED])
    flips = list(product.status_changes.all()[:CHARTED])
    return {
        "row": row,
        "product": product,
        "figures": list(_figures(row, levels)),
        "movements": [(row, cause_link(row.cause)) for row in movements[:RECENT]],
        "threshold_changes": levels[:RECENT],
        "status_changes": flips[:RECENT],
        "chart": _chart(row, movements, levels, flips),
    }


def _figures(row: Stock, levels: list[ThresholdChange]) -> Iterator[Figure]:
    yield Figure("on_hand", _("On hand"), row.on_hand, _by_kind(row))
    yield Figure(
        "reserved",
        _("Reserved"),
        row.reserved,
        [Part(row.reserved, _("held by orders that are not paid"), "#promises")],
    )
    yield Figure(
        "allocated",
        _("Allocated"),
        row.allocated,
        [Part(row.allocated, _("set aside for flash sales, unclaimed"), "#promises")],
    )
    yield Figure(
        "available",
        _("Available"),
        row.available,
        [
            Part(row.on_hand, _("on hand"), "#on_hand"),
            _less(row.reserved, _("reserved"), "#reserved"),
            _less(row.allocated, _("allocated"), "#allocated"),
        ],
    )
    yield Figure(
        "sellable",
        _("Sellable"),
        row.sellable,
        [
            Part(row.available, _("available"), "#available"),
            _less(row.safety_threshold, _("safety threshold"), "#safety_threshold"),
        ],
        ""
        if row.available >= row.safety_threshold
        else _("Never below 0: the threshold is a floor for every order."),
    )
    yield _status(row)
    defaults = Defaults()
    for name, label, inherits in (
        ("safety_threshold", _("Safety threshold"), row.inherits_threshold),
        ("low_stock_level", _("Low-stock level"), row.inherits_low_stock_level),
    ):
        number = getattr(row, name)
        part = Part(number, _("set on this product"), "#levels")
        if inherits:
            source = defaults.source_of(row.product.category_id, name)
            part = Part(number, _origin(source), _address(source))
        yield Figure(name, label, number, [part], _last_change(name, levels))


def _less(size: int, text: str, url: str) -> Part:
    return Part(size, text, url, is_taken_off=True)


def _by_kind(row: Stock) -> list[Part]:
    """The ledger's sums: what came, went and was counted since the product is there."""
    sums = (
        StockMovement.objects.filter(product=row.pk)
        .exclude(on_hand_delta=0)
        .order_by("kind")
        .values_list("kind")
        .annotate(Sum("on_hand_delta"))
    )
    ledger = reverse("admin:catalog_stockmovement_changelist")
    return [
        Part(
            abs(total),
            str(StockMovement.Kind(kind).label).lower(),
            f"{ledger}?product__id__exact={row.pk}&kind__exact={kind}",
            is_taken_off=total < 0,
        )
        for kind, total in sums
    ]


def _status(row: Stock) -> Figure:
    above = row.on_hand - row.reserved - row.safety_threshold
    if row.is_out:
        note = _("Out of stock: nothing is left above the threshold.")
    elif row.status == StockStatus.LOW:
        note = _("Low: what is left is not more than the low-stock level of %(level)s.")
    else:
        note = _(
            "In stock: what is left is more than the low-stock level of %(level)s."
        )
    note = note % {"level": row.low_stock_level} if "%" in note else note
    if row.allocated:
        sentence = _(
            "Units allocated to a flash sale still count here: they can be bought."
        )
        note = f"{note} {sentence}"
    return Figure(
        "status",
        _("Status: units above the threshold"),
        above,
        [
            Part(row.on_hand, _("on hand"), "#on_hand"),
            _less(row.reserved, _("reserved"), "#reserved"),
            _less(row.safety_threshold, _("safety threshold"), "#safety_threshold"),
        ],
        note,
    )


def _origin(source: Store | Category) -> str:
    if isinstance(source, Store):
        return _("inherited from: store")
    return _("inherited from: category %(name)s") % {"name": source}


def _address(source: Store | Category) -> str:
    return reverse(f"admin:catalog_{source._meta.model_name}_change", args=[source.pk])


def _last_change(name: str, changes: list[ThresholdChange]) -> str:
    for change in changes:
        before = getattr(change, f"{name}_before")
        after = getattr(change, f"{name}_after")
        if before != after:
            values = {
                "before": before,
                "after": after,
                "who": change.actor or _("the shop"),
                "at": f"{change.created_at:%Y-%m-%d %H:%M}",
            }
            return _("%(before)s → %(after)s by %(who)s, %(at)s UTC.") % values
    return _("Never changed.")


# -- History ----------------------------------------------------------------------


def _chart(
    row: Stock,
    movements: list[StockMovement],
    levels: list[ThresholdChange],
    flips: list[StatusChange],
) -> str:
    """On hand, promised and threshold over time, with the status changes, as JSON.

    Begins with the oldest of these movements and ends now.
    """
    if not movements:
        return ""
    begins, now = movements[-1].created_at, timezone.now()
    on_hand = [(m.created_at, m.on_hand_after) for m in reversed(movements)]
    promised = [
        (m.created_at, m.reserved_after + m.allocated_after)
        for m in reversed(movements)
    ]
    inside = [change for change in reversed(levels) if change.created_at >= begins]
    first = inside[0].safety_threshold_before if inside else row.safety_threshold
    threshold = [
        (begins, first),
        *((change.created_at, change.safety_threshold_after) for change in inside),
    ]
    series = [
        (_("On hand"), "--color-primary-600", on_hand),
        (_("Promised"), "--color-base-400", promised),
        (_("Safety threshold"), "--color-orange-600", threshold),
    ]
    return json.dumps(
        {
            "series": [
                {
                    "label": label,
                    "color": color,
                    "points": [*_points(numbers), [_ms(now), numbers[-1][1]]],
                }
                for label, color, numbers in series
            ],
            "marks": [
                {
                    "x": _ms(flip.created_at),
                    "y": _at(on_hand, flip.created_at),
                    "text": flip.get_to_status_display(),
                    "type": BADGES[flip.to_status],
                    "color": MARKS[flip.to_status],
                }
                for flip in reversed(flips)
                if flip.created_at >= begins
            ],
            "marks_label": _("Status changes"),
        }
    )


def _points(numbers: list[tuple[datetime, int]]) -> list[list[int]]:
    return [[_ms(at), number] for at, number in numbers]


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _at(numbers: list[tuple[datetime, int]], moment: datetime) -> int:
    """The number that stood at a moment."""
    found = numbers[0][1]
    for at, number in numbers:
        if at > moment:
            break
        found = number
    return found
