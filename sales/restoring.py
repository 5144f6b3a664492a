"""An item's orders from PostgreSQL back into Redis, as claims and what buyers own.

A sale may have a hundred thousand of them while shoppers wait, so the rows go through
without becoming models, some thousands at a time.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from django.db import connection

from sales import counters
from sales.counters import StoredClaim
from sales.folding import HELD, PAID, PAYING
from sales.models import FlashSaleItem

CHUNK = 2000  # claims in one script call: it keeps other items waiting for some ms
OWNING = (HELD, PAYING, PAID)
CLAIMS = """
SELECT claim_id::text, state, buyer, line.quantity,
    round(extract(epoch FROM expires_at) * 1000)::bigint, claim_seq
FROM sales_order JOIN sales_orderline AS line ON line.order_id = sales_order.id
WHERE flash_item_id = %s AND claim_id IS NOT NULL AND claim_seq IS NOT NULL
"""


def put_back(item: FlashSaleItem) -> int:
    """Write all claims of an item that is being recovered; return how many.

    The caller has locked the item's row, so no order of it changes meanwhile. Safe to
    repeat: what is written is absolute.
    """
    owned: Counter[str] = Counter()
    number = 0
    for rows in _rows(item):
        claims = []
        for order_id, state, buyer, quantity, expires_at, seq in rows:
            stored = StoredClaim(
                state, buyer, quantity, expires_at, seq, item.left, False
            )
            claims.append((order_id, stored))
            if state in OWNING:
                owned[buyer] += quantity
        counters.restore(item.pk, epoch=item.epoch, claims=claims)
        number += len(claims)
    for chunk in _chunks(owned):
        counters.restore_buyers(item.pk, epoch=item.epoch, owned=chunk)
    return number


def _rows(item: FlashSaleItem) -> Iterator[Sequence[tuple[Any, ...]]]:
    """What CLAIMS finds, in chunks, from a cursor in the server."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(CLAIMS, [item.pk])
        while rows := cursor.fetchmany(CHUNK):
            yield rows


def _chunks(owned: Mapping[str, int]) -> Iterator[dict[str, int]]:
    pairs = iter(owned.items())
    while chunk := dict(islice(pairs, CHUNK)):
        yield chunk
