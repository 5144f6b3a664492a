"""Columns of the dashboard's lists: badges, and figures that explain themselves."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from unfold import decorators

from catalog.models import AlertKind, StockMovement
from catalog.status import StockStatus

Column = TypeVar("Column", bound=Callable[..., Any])
# The theme's decorator, with the type it should have.
display = cast(
    Callable[..., Callable[[Column], Column]],
    decorators.display,
)

BADGES = {
    StockStatus.IN.value: "success",
    StockStatus.LOW.value: "warning",
    StockStatus.OUT.value: "danger",
}
ALERT_BADGES = dict.fromkeys(AlertKind.values, "danger") | {
    "low": "warning",
    "back": "success",
    "sold_out": "info",
}
KIND_BADGES = dict.fromkeys(StockMovement.Kind.values, "") | {
    "receipt": "success",
    "return": "success",
    "adjustment": "warning",
    "repair": "danger",
    "sale": "info",
}


def status_badge(status: str) -> tuple[str, Any]:
    """What the theme's label wants: the key of its color, and the words."""
    return status, StockStatus(status).label


def figure_link(product_id: int, name: str, number: int) -> str:
    """A figure of a product that links to why it is what it is."""
    url = reverse("admin:catalog_stock_change", args=[product_id])
    return format_html('<a href="{}#{}">{}</a>', url, name, number)


def moved(name: str, description: Any) -> Any:
    """A column of the ledger: the quantity before and after, if it changed."""

    @display(description=description)
    def column(movement: StockMovement) -> str:
        delta = getattr(movement, f"{name}_delta")
        after = getattr(movement, f"{name}_after")
        if not delta:
            return str(after)
        before = getattr(movement, f"{name}_before")
        return format_html("{} → {} <b>({})</b>", before, after, f"{delta:+d}")

    return column


def moment(name: str, description: Any) -> Any:
    """A column with a date and time that sorts as text, in one line; UTC."""

    @display(description=description, ordering=name)
    def column(row: Any) -> str:
        at = getattr(row, name)
        if at is None:
            return "-"
        text = f"{at:%Y-%m-%d %H:%M:%S}"
        return format_html('<time class="whitespace-nowrap">{}</time>', text)

    return column


def cause_link(cause: str) -> str:
    """What made a change, in words, with a link to it where there is a page."""
    kind, _colon, rest = cause.partition(":")
    if kind == "order" and rest:
        url = reverse("admin:sales_order_change", args=[rest])
        return format_html('<a href="{}">{}</a>', url, _order_number(rest))
    item_id = rest.partition(":")[0]
    if kind == "flash" and item_id.isdecimal():
        url = reverse("admin:sales_flash_item", args=[item_id])
        return format_html('<a href="{}">{}</a>', url, _("flash sale"))
    if kind == "thresholds" and rest:
        return _threshold_link(rest)
    return cause


def _threshold_link(batch: str) -> str:
    url = reverse("admin:catalog_thresholdchange_changelist")
    text = _("levels changed")
    return format_html('<a href="{}?batch={}">{}</a>', url, batch, text)


def _order_number(order_id: str) -> str:
    return _("order %(number)s") % {"number": order_id[:8].upper()}
