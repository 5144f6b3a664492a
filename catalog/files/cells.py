"""Cells of product files: text to values and back, with reasons a merchant understands.

A function that cannot read its text raises CellError with a sentence that names the
text and what would do.
"""

import html
import re
from datetime import date
from decimal import Decimal

from django.conf import settings
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

MAX_DESCRIPTION = 50_000
SHOWN = 40
YES = {"1", "true", "yes", "y", "on", "published"}
NO = {"0", "false", "no", "n", "off", "-1", "unpublished"}

PRICE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,2}0*)?", re.ASCII)
WHOLE = re.compile(r"(-?)([0-9]{1,12})(?:\.0+)?", re.ASCII)
UNPRINTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# What a spreadsheet would run as a formula; a quotation mark in front disarms it.
FORMULA = re.compile(r"'*[=+\-@\t\r]")
GUARDED = re.compile(r"'+[=+\-@\t\r]")

INVISIBLE = [
    (re.compile(r"<!--"), re.compile(r"-->")),
    (re.compile(r"<script\b", re.I), re.compile(r"</script[^<>]*>", re.I)),
    (re.compile(r"<style\b", re.I), re.compile(r"</style[^<>]*>", re.I)),
]
ITEM = re.compile(r"<li\b[^<>]*>", re.I)
BLOCK = re.compile(r"</?(?:br|p|div|h[1-6]|ul|ol|li|tr|table|hr)\b[^<>]*>", re.I)
TAG = re.compile(r"</?[a-z!][^<>]*>", re.I)


class CellError(ValueError):
    """The text of a cell is not what its column needs."""


def shown(text: str) -> str:
    """The text in quotes, cut to a length that fits a message."""
    return f'"{text[:SHOWN]}…"' if len(text) > SHOWN else f'"{text}"'


def price(text: str) -> Decimal:
    """An amount with two decimals: 9.99, 10 or 10.5."""
    if not PRICE.fullmatch(text):
        raise CellError(
            _("%(text)s is not a price such as 9.99 (no signs, two decimals at most)")
            % {"text": shown(text)}
        )
    amount = Decimal(text).quantize(Decimal("0.01"))
    if amount > settings.SHOP_MAX_PRICE:
        raise CellError(
            _("%(text)s is above the highest price, %(limit)s")
            % {"text": shown(text), "limit": settings.SHOP_MAX_PRICE}
        )
    return amount


def with_point(text: str) -> str:
    """A price with a decimal comma, as programs write it that part cells by ";"."""
    return text.replace(",", ".") if text.count(",") == 1 else text


def quantity(text: str) -> int:
    """A whole number of units, from 0 to SHOP_MAX_QUANTITY."""
    match = WHOLE.fullmatch(text)
    if not match:
        raise CellError(
            _("%(text)s is not a whole number of units") % {"text": shown(text)}
        )
    number = int(match[2])
    if match[1] and number:
        raise CellError(
            _(
                "%(text)s is below zero: more was sold than was there; "
                "count the units and put that number, or 0"
            )
            % {"text": shown(text)}
        )
    if number > settings.SHOP_MAX_QUANTITY:
        raise CellError(
            _("%(text)s is above the highest number of units, %(limit)s")
            % {"text": shown(text), "limit": settings.SHOP_MAX_QUANTITY}
        )
    return number


def level(text: str) -> int:
    """A number of units to keep or to warn at, from 0 to SHOP_MAX_QUANTITY."""
    if (match := WHOLE.fullmatch(text)) and match[1] and int(match[2]):
        raise CellError(_("%(text)s is below zero") % {"text": shown(text)})
    return quantity(text)


def flag(text: str) -> bool:
    """Yes or no."""
    word = text.lower()
    if word not in YES | NO:
        raise CellError(_("%(text)s is neither yes nor no") % {"text": shown(text)})
    return word in YES


def day(text: str) -> date:
    """The day of a date with or without a time: 2026-12-12 or 2026-12-12 20:00:00."""
    try:
        found = parse_date(text[:10])
    except ValueError:
        found = None
    if found is None:
        raise CellError(
            _("%(text)s is not a date such as 2026-12-12") % {"text": shown(text)}
        )
    return found


def sku(text: str) -> str:
    """An article number: any printable signs, for it is typed and printed."""
    if not text.isprintable():
        raise CellError(
            _("%(text)s has signs that cannot be printed")
            % {"text": shown(text.encode("unicode_escape").decode())}
        )
    return _within(text, 80)


def line_of_text(text: str, limit: int) -> str:
    """Text in one line, white space made single."""
    return _within(" ".join(UNPRINTED.sub(" ", text).split()), limit)


def description(text: str) -> str:
    """Text of many lines, with plain line ends."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _within(UNPRINTED.sub(" ", lines).strip(), MAX_DESCRIPTION)


def _within(text: str, limit: int) -> str:
    if len(text) > limit:
        raise CellError(
            _("%(text)s is too long: %(length)s characters of at most %(limit)s")
            % {"text": shown(text), "length": len(text), "limit": limit}
        )
    return text


def plain_text(markup: str) -> str:
    """What a reader sees of HTML: no tags, no scripts, one line per block.

    Takes time in proportion to the text, whatever the text.
    """
    if "<" not in markup and "&" not in markup:
        return markup.strip()
    for opening, closing in INVISIBLE:
        first, *rest = opening.split(markup)
        seen = [part for text in rest for part in closing.split(text, maxsplit=1)[1:]]
        markup = "".join([first, *seen])
    markup = " ".join(markup.split()) if BLOCK.search(markup) else markup
    markup = BLOCK.sub("\n", ITEM.sub("\n- ", markup))
    text = html.unescape(TAG.sub("", markup)).replace("\0", "")
    lines = (" ".join(line.split()) for line in text.split("\n"))
    joined = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
    return joined.replace("\n\n- ", "\n- ").strip()


# -- Category paths: "Home > Pots"; a backslash keeps a sign of a name from parting ----


def paths(text: str, *, separator: str = "") -> list[tuple[str, ...]]:
    """The category paths in a cell, each from the root down; `separator` parts them."""
    found: list[list[str]] = [[""]]
    signs = iter(text)
    for sign in signs:
        if sign == "\\":
            found[-1][-1] += next(signs, "\\")
        elif sign == ">":
            found[-1].append("")
        elif separator and sign == separator:
            found.append([""])
        else:
            found[-1][-1] += sign
    cleaned = (tuple(" ".join(name.split()) for name in path) for path in found)
    return [tuple(name for name in path if name) for path in cleaned if any(path)]


def path_text(names: tuple[str, ...]) -> str:
    """The cell for one path; `paths` reads it back."""
    escaped = (name.replace("\\", "\\\\").replace(">", "\\>") for name in names)
    return " > ".join(escaped)


# -- Formulas -------------------------------------------------------------------------


def guarded(text: str) -> str:
    """The text, so that no spreadsheet takes it for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """The text that `guarded` was given."""
    return text[1:] if GUARDED.match(text) else text
