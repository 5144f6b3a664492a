"""The list of the stock desk: its page, its columns and what was typed into it."""

from dataclasses import dataclass
from typing import Any

from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.views import ChangeList

from catalog import desk
from catalog.columns import BADGES
from catalog.desk_edits import INHERITS, LABELS, RowForm, text_of
from catalog.models import Stock
from catalog.status import StockStatus

CURSOR = "cursor"
VIEW = "view"
OURS = (CURSOR, VIEW)
HEADINGS = {
    "name": _("Product"),
    "on_hand": _("On hand"),
    "reserved": _("Reserved"),
    "allocated": _("Allocated"),
    "available": _("Available"),
    "sellable": _("Sellable"),
    "status": _("Status"),
    "safety_threshold": _("Safety threshold"),
    "low_stock_level": _("Low-stock level"),
}


class StockChangeList(ChangeList):  # type: ignore[misc]
    """Pages by cursor instead of by number; nothing is counted."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.cursor = request.GET.get(CURSOR, "")
        self.order = desk.known_order(request.GET.get("o", ""))
        super().__init__(request, *args, **kwargs)

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in OURS}

    def get_ordering(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> list[Any]:
        """None here: the page sorts its keys."""
        return ["pk"]

    def get_results(self, request: HttpRequest) -> None:
        page = desk.page(
            self.queryset, order=self.order, cursor=self.cursor, size=self.list_per_page
        )
        self.result_list = page.rows
        self.result_count = len(page.rows)
        self.full_result_count = self.result_count
        self.show_full_result_count = False
        self.can_show_all = False
        self.multi_page = bool(page.next or page.previous)
        self.paginator = None
        self.next_url = self._at(page.next)
        self.previous_url = self._at(page.previous)

    def _at(self, cursor: str | None) -> str:
        return self.address(**{CURSOR: cursor}) if cursor else ""

    def address(self, **changed: str) -> str:
        """This list with something else in its address, from its first page."""
        return str(self.get_query_string(changed, [CURSOR, VIEW]))

    @property
    def kept(self) -> str:
        """What a saved view keeps of this address."""
        return self.address().removeprefix("?")

    @property
    def headings(self) -> list[dict[str, Any]]:
        """The columns with their links; the sorted one turns around."""
        column, falls = self.order.removeprefix("-"), self.order.startswith("-")
        return [
            {
                "name": name,
                "text": text,
                "sorted": name == column and ("descending" if falls else "ascending"),
                "url": self.address(
                    o=f"-{name}" if name == column and not falls else name
                ),
            }
            for name, text in HEADINGS.items()
        ]


@dataclass(frozen=True, slots=True)
class Words:
    """What every row says, looked up once for a page."""

    labels: dict[str, str]
    statuses: dict[str, str]
    why: str
    tick: str
    receive: str
    reason: str

    @classmethod
    def now(cls) -> "Words":
        return cls(
            {name: str(label) for name, label in LABELS.items()},
            {status.value: str(status.label) for status in StockStatus},
            gettext("Why %(number)s? %(label)s: %(name)s"),
            gettext("Tick %(name)s"),
            gettext("Receive units: %(name)s"),
            gettext("Reason for the new count: %(name)s"),
        )


@dataclass(frozen=True, slots=True)
class Box:
    """A figure somebody can type over, with its names for who does not see it."""

    name: str
    key: str
    label: str
    why: str
    number: str
    text: str
    shown: str
    is_inherited: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the list as the page shows it."""

    row: Stock
    name: str
    sku: str
    key: str
    url: str
    status: str
    badge: str
    version: str
    on_hand: Box
    safety_threshold: Box
    low_stock_level: Box
    tick: str
    receive: str
    reason_label: str
    reason: str = ""
    reason_error: str = ""


def lines(rows: list[Stock], refused: dict[int, RowForm]) -> list[Line]:
    """The rows of a page; what was refused comes first, as it was typed."""
    words = Words.now()
    desk_url = reverse("admin:catalog_stock_changelist")
    shown = {row.pk for row in rows}
    missing = [form.row for pk, form in refused.items() if pk not in shown]
    return [
        _line(row, refused.get(row.pk), words, desk_url) for row in [*missing, *rows]
    ]


def _line(row: Stock, form: RowForm | None, words: Words, desk_url: str) -> Line:
    name = {"name": row.product.name}
    typed: Any = form.data if form else {}
    on_hand, threshold, low = (_box(row, figure, form, words) for figure in LABELS)
    return Line(
        row,
        row.product.name,
        row.product.sku,
        str(row.pk),
        f"{desk_url}{row.pk}/",
        words.statuses[row.status],
        BADGES[row.status],
        typed.get(f"{row.pk}-version", str(row.version)),
        on_hand,
        threshold,
        low,
        words.tick % name,
        words.receive % name,
        words.reason % name,
        typed.get(f"{row.pk}-reason", ""),
        _error(form, "reason") if form else "",
    )


def _error(form: RowForm, name: str) -> str:
    return " ".join(str(error) for error in form.errors.get(name, []))


def _box(row: Stock, name: str, form: RowForm | None, words: Words) -> Box:
    text = shown = text_of(row, name)
    error = ""
    if form and name in form.touched:
        text = form.typed(name)
        shown = form.data.get(f"{row.pk}-{name}_shown", "")
        error = _error(form, name)
    label, number = words.labels[name], str(getattr(row, name))
    return Box(
        name,
        f"{row.pk}-{name}",
        f"{label}: {row.product.name}",
        words.why % {"number": number, "label": label, "name": row.product.name},
        number,
        text,
        shown,
        name in INHERITS and getattr(row, INHERITS[name]),
        error,
    )
