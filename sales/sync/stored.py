"""What PostgreSQL has of an item, in the words of a fold that goes on from it."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import QuerySet

from catalog import copying
from sales import folding
from sales.folding import Claimed, Entry, Fold
from sales.models import FlashSaleItem, Order
from sales.sync import times


def counters_of(item: FlashSaleItem) -> folding.Counters:
    """The mirrored counters as PostgreSQL has them."""
    return folding.Counters(**{n: getattr(item, n) for n in folding.COUNTERS})


def claims_of(
    item: FlashSaleItem, claim_ids: Iterable[UUID] | None = None
) -> dict[UUID, Claimed]:
    """An item's orders as claims, all of them or those named."""
    orders: QuerySet[Order] = Order.objects.filter(flash_item=item)
    if claim_ids is not None:
        # One array, where `claim_id__in` would send thousands of parameters.
        orders = orders.extra(
            where=["sales_order.claim_id = ANY(%s::uuid[])"],
            params=[copying.array(claim_ids)],
        )
    rows = orders.values_list(
        "claim_id",
        "state",
        "buyer",
        "lines__quantity",
        "expires_at",
        "claim_seq",
        "created_at",
        "paid_at",
        "closed_at",
    )
    return {
        claim_id: Claimed(
            state,
            buyer,
            quantity,
            times.milliseconds(expires_at),
            seq,
            times.milliseconds(created_at),
            times.milliseconds(paid_at) if paid_at else None,
            times.milliseconds(closed_at) if closed_at else None,
        )
        for (
            claim_id,
            state,
            buyer,
            quantity,
            expires_at,
            seq,
            created_at,
            paid_at,
            closed_at,
        ) in rows
        if claim_id is not None and seq is not None
    }


def know_claims(
    item: FlashSaleItem, fold: Fold, parsed: Iterable[tuple[Entry, bool]]
) -> None:
    """Tell the fold of the orders that the events are about."""
    ids = {entry.order_id for entry, _ in parsed if entry.order_id is not None}
    fold.claims.update(claims_of(item, ids - fold.claims.keys()))
