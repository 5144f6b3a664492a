"""The cart's badge and the clocks of the storefront."""

from datetime import datetime

from babel.core import Locale
from django import template
from django.conf import settings
from django.template import Context
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext

from sales import visitors

register = template.Library()


@register.simple_tag(takes_context=True)
def cart_badge(context: Context, units: int | None = None) -> SafeString | str:
    """How many units the cart holds, from the visitor's cookie or as given."""
    request = context.get("request")
    if units is None:
        units = visitors.cart_units(request) if request else 0
    if not units:
        return ""
    words = ngettext("%(n)d item", "%(n)d items", units) % {"n": units}
    return format_html(
        '<span class="badge" aria-hidden="true">{}</span>'
        '<span class="sr-only"> ({})</span>',
        units,
        words,
    )


@register.filter
def country(code: str) -> str:
    """The name of a country in the current language; a code nobody knows as it is."""
    language = get_language() or settings.LANGUAGE_CODE
    name: str = Locale.parse(language, sep="-").territories.get(code, code)
    return name


@register.filter
def ms(moment: datetime) -> int:
    """The moment as scripts count it, in milliseconds."""
    return int(moment.timestamp() * 1000)


@register.simple_tag
def clock(until: datetime, now: datetime) -> SafeString:
    """A countdown on the server's clock; scripts keep it running."""
    seconds = max(0, round((until - now).total_seconds()))
    days, rest = divmod(seconds, 86400)
    hours, minutes = divmod(rest // 60, 60)
    text = f"{minutes:02}:{seconds % 60:02}"
    if seconds >= 3600:
        text = f"{hours:02}:{text}"
    if days:
        words = ngettext("%(n)d day", "%(n)d days", days) % {"n": days}
        text = f"{words}, {text}"
    return format_html(
        '<span class="clock" role="timer" data-now="{}" data-until="{}">{}</span>',
        ms(now),
        ms(until),
        text,
    )


@register.filter
def moment(at: datetime) -> SafeString:
    """A time of day in UTC, which scripts turn into the visitor's own zone."""
    return format_html(
        '<time datetime="{}" data-local>{} UTC</time>',
        at.isoformat(),
        date_format(at, "DATETIME_FORMAT"),
    )
