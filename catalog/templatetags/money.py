"""Prices as people of the current language write them."""

from decimal import Decimal
from functools import lru_cache

from babel.core import Locale
from babel.numbers import format_currency
from django import template
from django.conf import settings
from django.utils.translation import get_language

register = template.Library()


@register.filter
def money(value: Decimal, currency: str = "") -> str:
    """The amount with its currency, in the way of the language that is active."""
    language = get_language() or settings.LANGUAGE_CODE
    return _written(Decimal(value), currency or settings.SHOP_CURRENCY, language)


@lru_cache(maxsize=2_000)  # a list writes the same prices again and again
def _written(value: Decimal, currency: str, language: str) -> str:
    return format_currency(value, currency, locale=Locale.parse(language, sep="-"))
