"""Who is told of drained events, in the transaction of what they are told."""

from collections.abc import Sequence

from catalog import outbox
from catalog.models import WebhookEndpoint
from sales import mails, orders
from sales.folding import Entry, Fold
from sales.models import FlashSaleItem, Order


def publish(item: FlashSaleItem, fold: Fold, entries: Sequence[Entry]) -> None:
    """Tell other systems, in the transaction of what they are told."""
    if not WebhookEndpoint.objects.filter(is_active=True).exists():
        return
    ended = {"confirm": "paid", "release": "expired"}
    for kind, state in ended.items():
        ids = [
            entry.order_id
            for entry in entries
            if entry.kind == kind
            and entry.order_id is not None
            and (kind == "confirm" or entry.details.get("reason") == "expired")
        ]
        rows = Order.objects.filter(flash_item=item, claim_id__in=ids)
        outbox.publish(
            f"order.{state}", [{**orders.published(o), "state": state} for o in rows]
        )
    sold_out = {
        "flash_sale_id": item.sale_id,
        "sale": item.sale.slug,
        "sku": item.product.sku,
        "units": item.units,
    }
    outbox.publish("sale.sold_out", [sold_out] * fold.flips)


def line_up_mails(item: FlashSaleItem, fold: Fold, entries: Sequence[Entry]) -> None:
    """Line up what shoppers are told of the states their orders have come to."""
    ended = {e.order_id for e in entries if e.kind in ("confirm", "release", "refund")}
    states = {pk: fold.claims[pk].state for pk in ended if pk is not None}
    for state, kind in orders.MAILED.items():
        if ids := [pk for pk, now in states.items() if now == state]:
            rows = Order.objects.filter(flash_item=item, claim_id__in=ids)
            mails.line_up(kind, rows.exclude(email="").only("email"))
