"""Pages of a long list that cost the same at its start and at its end.

The cursor names the last row seen, so that a page begins with an index look-up instead
of counting past everything before it, and rows that come or go never shift it.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

Row = TypeVar("Row", bound=Model)


class BadCursor(ValueError):
    """The text is not a cursor of this list."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows in order, and the cursors of the pages beside them."""

    items: list[Row]
    next: str | None
    previous: str | None


def page(
    rows: QuerySet[Row], *, by: str, cursor: str = "", size: int = 24
) -> Page[Row]:
    """The page of `rows` that `cursor` names, the first one if it is empty.

    Rows come in the order of the column `by` ("-column": descending), then of the
    primary key. One query. Raises BadCursor.
    """
    column, falling = by.removeprefix("-"), by.startswith("-")
    backwards = False
    if cursor:
        backwards, value, pk = _read(cursor, _parser(rows, column), _parser(rows, "pk"))
        rows = rows.filter(_beyond(column, value, pk, down=falling != backwards))
    sign = "-" if falling != backwards else ""
    found = list(rows.order_by(f"{sign}{column}", f"{sign}pk")[: size + 1])
    more, items = len(found) > size, found[:size]
    if backwards:
        items.reverse()
    has_next, has_previous = (True, more) if backwards else (more, bool(cursor))
    return Page(
        items,
        _write(items[-1], column, back=False) if items and has_next else None,
        _write(items[0], column, back=True) if items and has_previous else None,
    )


def _beyond(column: str, value: Any, pk: Any, *, down: bool) -> Q:
    # The first condition is implied by the second; it is what an index can start from.
    word = "lt" if down else "gt"
    return Q(**{f"{column}__{word}e": value}) & (
        Q(**{f"{column}__{word}": value}) | Q(**{f"pk__{word}": pk})
    )


def _parser(rows: QuerySet[Row], column: str) -> Callable[[str], Any]:
    field: Any = rows.model._meta.pk
    if column in rows.query.annotations:
        field = rows.query.annotations[column].output_field
    elif column != "pk":
        field = rows.model._meta.get_field(column)
    parse: Callable[[str], Any] = field.to_python
    return parse


def _write(row: Model, column: str, *, back: bool) -> str:
    text = json.dumps([int(back), str(getattr(row, column)), str(row.pk)])
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(
    cursor: str, parse: Callable[[str], Any], parse_pk: Callable[[str], Any]
) -> tuple[bool, Any, Any]:
    try:
        text = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        back, value, pk = json.loads(text)
        values = parse(str(value)), parse_pk(str(pk))
    except (Base64Error, UnicodeError, ValueError, TypeError, ValidationError) as error:
        raise BadCursor(cursor) from error
    if None in values or "\0" in str(value):
        raise BadCursor(cursor)
    return bool(back), *values
