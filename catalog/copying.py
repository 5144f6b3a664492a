"""Rows and keys by the thousand, where Django's own way would be the bottleneck."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Lookup, Model

NULL = "\\N"
MANY = 200  # rows from which COPY is worth it


def copy_in(
    model: type[Model], names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert rows by COPY, part of the caller's transaction.

    `names` are attributes like `item_id`; a field that is not named gets its default,
    one for all rows. Raises Django's IntegrityError and DataError as any insert does.
    """
    columns, defaults = _defaults(model, names)
    end = "".join(f"\t{text}" for text in defaults) + "\n"
    _copy(model._meta.db_table, columns, rows, end)


def insert(rows: Sequence[Model]) -> None:
    """Insert new rows of one model, part of the caller's transaction: many by COPY.

    Like `bulk_create`, but a row that has no key yet does not learn it.
    """
    if not rows:
        return
    model, key = type(rows[0]), rows[0]._meta.auto_field
    if len(rows) < MANY:
        model._default_manager.bulk_create(rows)
        return
    fields = [f for f in model._meta.concrete_fields if not f.generated]
    if rows[0].pk is None:
        fields = [f for f in fields if f is not key]
    copy_in(
        model,
        [f.attname for f in fields],
        ([f.pre_save(row, True) for f in fields] for row in rows),
    )


def update(rows: Sequence[Model], names: Iterable[str]) -> None:
    """Write these fields of many rows of one model, in one statement.

    Part of the caller's transaction, which has locked the rows.
    """
    model = type(rows[0])
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    key, quote = str(model._meta.pk.column), connection.ops.quote_name
    table, columns = quote(model._meta.db_table), [f.column for f in fields]
    listed = ", ".join(map(quote, [key, *columns]))
    written = ", ".join(f"{quote(c)} = copied.{quote(c)}" for c in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE copied ON COMMIT DROP AS "  # noqa: S608
            f"SELECT {listed} FROM {table} WITH NO DATA"
        )
        values = ([row.pk, *(f.pre_save(row, False) for f in fields)] for row in rows)
        _copy("copied", [key, *columns], values)
        cursor.execute(
            f"UPDATE {table} SET {written} FROM copied "  # noqa: S608 - our own names
            f"WHERE {table}.{quote(key)} = copied.{quote(key)}"
        )
        cursor.execute("DROP TABLE copied")


class AnyOf(Lookup[bool]):
    """`filter(AnyOf(F("pk"), keys))`: like `pk__in`, as one array however many."""

    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, params = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", (*params, list(self.rhs))


def array(values: Iterable[object]) -> str:
    """An array of ids, numbers or plain words as PostgreSQL reads it; None is NULL."""
    return "{" + ",".join("NULL" if v is None else str(v) for v in values) + "}"


def _copy(
    table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], end: str = "\n"
) -> None:
    lines = ["\t".join([_text(v) for v in row]) + end for row in rows]
    if not lines:
        return
    quote = connection.ops.quote_name
    statement = f"COPY {quote(table)} ({', '.join(map(quote, columns))}) FROM STDIN"
    with connection.cursor() as cursor, connection.wrap_database_errors:
        cursor.copy_expert(statement, StringIO("".join(lines)))


def _defaults(model: type[Model], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """All columns, those of `names` first, and the others' defaults as text."""
    fields = {f.attname: f for f in model._meta.concrete_fields if not f.generated}
    columns, texts = [str(fields.pop(name).column) for name in names], []
    for field in fields.values():
        if field is not model._meta.auto_field:
            value = field.get_db_prep_save(field.get_default(), connection)
            columns.append(str(field.column))
            texts.append(_text(value))
    return columns, texts


def _text(value: Any) -> str:
    write = TEXT.get(type(value))
    return write(value) if write else _escape(str(value))  # choices, files


def _escape(text: str) -> str:
    return (
        text.replace("\\", "\\\\")
        .replace("\t", "\\t")
        .replace("\n", "\\n")
        .replace("\r", "\\r")
    )


TEXT: dict[type, Callable[[Any], str]] = {
    type(None): lambda _none: NULL,
    bool: lambda is_true: "t" if is_true else "f",
    int: str,
    Decimal: str,
    UUID: str,
    datetime: datetime.isoformat,
    str: _escape,
    dict: lambda values: _escape(json.dumps(values)),
}
