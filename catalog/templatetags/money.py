"""Prices as people of the current language write them."""

from decimal import Decimal

from babel.core import Locale
from babel.numbers import format_currency
from django import template
from django.conf import settings
from django.utils.translation import get_language

register = template.Library()


@register.filter
def money(value: Decimal, currency: str = "") -> str:
    """The amount with its currency, in the way of the language that is active."""
    locale = Locale.parse(get_language() or settings.LANGUAGE_CODE, sep="-")
    return format_currency(value, currency or settings.SHOP_CURRENCY, locale=locale)
