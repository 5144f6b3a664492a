"""Columns of the dashboard's lists: badges, and figures that explain themselves."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.urls import reverse
from django.utils.html import format_html
from unfold import decorators

from catalog.models import Stock, StockMovement
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
KIND_BADGES = {
    "receipt": "success",
    "return": "success",
    "adjustment": "warning",
    "repair": "danger",
    "sale": "info",
}


def status_badge(status: str) -> tuple[str, Any]:
    """What the theme's label wants: the key of its color, and the words."""
    return status, StockStatus(status).label


def figure(field: str, description: Any) -> Any:
    """A column with a number that links to where it comes from."""

    @display(description=description, ordering=field)
    def column(row: Stock) -> str:
        url = reverse("admin:catalog_stock_change", args=[row.pk])
        return format_html('<a href="{}#{}">{}</a>', url, field, getattr(row, field))

    return column


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
