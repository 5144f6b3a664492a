"""The rows of flash orders: inserted by COPY, updated in one statement."""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from uuid import UUID, uuid5

from django.contrib.auth.models import User
from django.db import connection

from catalog import copying
from sales.folding import Fold
from sales.models import FlashSaleItem, Order, OrderLine
from sales.sync import times

ORDER_FIELDS = (
    "id",
    "claim_id",
    "flash_item_id",
    "claim_seq",
    "buyer",
    "state",
    "expires_at",
    "created_at",
    "paid_at",
    "closed_at",
    "total",
    "user_id",
    "email",
)
LINE_FIELDS = ("order_id", "product_id", "sku", "name", "quantity", "price")
UPDATE_ORDERS = """
UPDATE sales_order SET state = now_is.state,
    expires_at = 'epoch'::timestamptz + now_is.expires_at * interval '1 millisecond',
    paid_at = 'epoch'::timestamptz + now_is.paid_at * interval '1 millisecond',
    closed_at = 'epoch'::timestamptz + now_is.closed_at * interval '1 millisecond'
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS now_is (claim_id, state, expires_at, paid_at, closed_at)
WHERE sales_order.claim_id = now_is.claim_id AND sales_order.flash_item_id = %s
"""


def insert_orders(
    item: FlashSaleItem, fold: Fold, prices: Mapping[UUID, Decimal]
) -> None:
    """Insert the orders of new claims, each at the price of its moment."""
    taken = _taken(prices)
    users = _users(fold.claims[claim_id].buyer for claim_id in prices)
    product = item.product
    rows, lines = [], []
    for claim_id, price in prices.items():
        claimed = fold.claims[claim_id]
        order_id = claim_id
        if claim_id in taken:
            order_id = uuid5(claim_id, f"flash:{item.pk}")
        user = users.get(claimed.buyer)
        rows.append(
            (
                order_id,
                claim_id,
                item.pk,
                claimed.seq,
                claimed.buyer,
                str(claimed.state),
                times.moment(claimed.expires_at),
                times.moment(claimed.claimed_at),
                times.moment(claimed.paid_at) if claimed.paid_at else None,
                times.moment(claimed.closed_at) if claimed.closed_at else None,
                price * claimed.quantity,
                user.pk if user else None,
                user.email if user else "",
            )
        )
        line = (order_id, product.pk, product.sku, product.name)
        lines.append((*line, claimed.quantity, price))
    copying.copy_in(Order, ORDER_FIELDS, rows)
    copying.copy_in(OrderLine, LINE_FIELDS, lines)


def _taken(order_ids: Iterable[UUID]) -> set[UUID]:
    """Those of the ids that are some order's already."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM sales_order WHERE id = ANY(%s::uuid[])",
            [copying.array(order_ids)],
        )
        return {row[0] for row in cursor.fetchall()}


def update_orders(item: FlashSaleItem, fold: Fold, claim_ids: Collection[UUID]) -> None:
    """Bring the states of known orders up to date, in one statement."""
    if not claim_ids:
        return
    claims = [fold.claims[claim_id] for claim_id in claim_ids]
    columns = (
        claim_ids,
        [str(claimed.state) for claimed in claims],
        [claimed.expires_at for claimed in claims],
        [claimed.paid_at for claimed in claims],
        [claimed.closed_at for claimed in claims],
    )
    with connection.cursor() as cursor:
        cursor.execute(UPDATE_ORDERS, [*map(copying.array, columns), item.pk])


def _users(buyers: Iterable[str]) -> dict[str, User]:
    """The accounts behind `u:<id>` buyers, by buyer; guests have none."""
    ids = {int(b[2:]) for b in buyers if b.startswith("u:") and b[2:].isdigit()}
    found = User.objects.in_bulk([pk for pk in ids if pk < 2**31]) if ids else {}
    return {f"u:{pk}": user for pk, user in found.items()}
