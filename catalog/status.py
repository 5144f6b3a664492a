"""Stock status: one rule, in Python and as a database expression.

`quantity` is what is there and not promised: `on_hand - reserved`. Units allocated to
a flash sale still count, because they can still be bought.
"""

from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.utils.translation import gettext_lazy as _


class StockStatus(models.TextChoices):
    IN = "in_stock", _("In stock")
    LOW = "low_stock", _("Low stock")
    OUT = "out_of_stock", _("Out of stock")


def stock_status(
    quantity: int, *, safety_threshold: int, low_stock_level: int
) -> StockStatus:
    """OUT at or below the threshold, LOW within the low level above it, else IN."""
    if quantity <= safety_threshold:
        return StockStatus.OUT
    if quantity - safety_threshold <= low_stock_level:
        return StockStatus.LOW
    return StockStatus.IN


def status_expression() -> Case:
    """The same rule for the generated column of Stock."""
    above = F("on_hand") - F("reserved") - F("safety_threshold")
    return Case(
        When(
            Q(on_hand__lte=F("reserved") + F("safety_threshold")),
            then=Value(StockStatus.OUT.value),
        ),
        When(
            Q(low_stock_level__gte=above),
            then=Value(StockStatus.LOW.value),
        ),
        default=Value(StockStatus.IN.value),
    )
