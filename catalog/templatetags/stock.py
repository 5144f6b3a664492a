"""What shoppers read about stock."""

from dataclasses import dataclass

from django import template
from django.utils.translation import gettext as _

from catalog.models import Stock

register = template.Library()


@dataclass(frozen=True, slots=True)
class StockWords:
    """A sentence, its tone for the eye, and schema.org's word for machines."""

    text: str
    tone: str
    availability: str
    can_buy: bool


@register.filter
def stock_words(stock: Stock) -> StockWords:
    """What the regular shop can say now: in stock, only so many left, or out of it."""
    if stock.is_out:
        return StockWords(_("Out of stock"), "out", "OutOfStock", False)
    if stock.sellable == 0:
        text = _("Only in the flash sale")
        return StockWords(text, "low", "LimitedAvailability", False)
    if stock.sellable <= stock.low_stock_level:
        text = _("Only %(n)d left") % {"n": stock.sellable}
        return StockWords(text, "low", "LimitedAvailability", True)
    return StockWords(_("In stock"), "in", "InStock", True)
