"""Products and their history, written by the thousand.

Each function is part of the caller's transaction.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from django.db import connection

from catalog import copying
from catalog.models import Product

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def create(products: Sequence[Product], *, actor: "User | None", reason: str) -> None:
    """Insert new products; afterwards each has its key."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('catalog_product', 'id')) "
            "FROM generate_series(1, %s)",
            [len(products)],
        )
        for product, (key,) in zip(products, cursor.fetchall(), strict=True):
            product.pk = key
    copying.insert(products)
    _remember("+", products, actor, reason)


def change(
    products: Sequence[Product],
    names: Collection[str],
    *,
    actor: "User | None",
    reason: str,
) -> None:
    """Write these fields of products whose rows the caller has locked."""
    copying.update(products, {*names, "updated_at"})
    _remember("~", products, actor, reason)


def _remember(
    kind: str, products: Sequence[Product], actor: "User | None", reason: str
) -> None:
    """A row of history for each product, as it is now."""
    history = Product.history.model
    columns = ", ".join(field.column for field in history.tracked_fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {history._meta.db_table} ({columns}, history_date, history_type,
                history_user_id, history_change_reason)
            SELECT {columns}, statement_timestamp(), %s, %s, %s
            FROM catalog_product WHERE id = ANY(%s) ORDER BY id
            """,  # noqa: S608 - names of our own columns
            [kind, actor.pk if actor else None, reason, [p.pk for p in products]],
        )
