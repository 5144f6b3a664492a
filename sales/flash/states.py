"""A sale's row, its state and its log; who changes the state holds the row's lock."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sales.models import FlashSale, FlashSaleItem, ItemState, SaleState, SaleTransition
from sales.orders import NotPossible

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

RUNNING = (SaleState.LOADED, SaleState.LIVE, SaleState.PAUSED)
UNLOADED = (ItemState.WAITING, ItemState.SETTLED)


def locked(sale_id: int) -> FlashSale:
    """The sale, its row locked until the transaction ends."""
    # NO KEY: a line in the sale's log, written under an item's lock, need not wait.
    return FlashSale.objects.select_for_update(no_key=True).get(pk=sale_id)


def loaded(sale: FlashSale) -> Iterable[FlashSaleItem]:
    """The sale's items whose counters should be in Redis."""
    return sale.items.exclude(state__in=UNLOADED).order_by("pk")


def require(sale: FlashSale, state: str, sentence: str) -> None:
    """Raise NotPossible with the sentence unless the sale is in that state."""
    if sale.state != state:
        raise NotPossible(f"{sentence} ({sale.name}: {sale.get_state_display()})")


def log(
    sale: FlashSale,
    actor: "User | None",
    *,
    to_state: str = "",
    note: str = "",
    item: FlashSaleItem | None = None,
) -> None:
    """Write a line into the sale's log."""
    SaleTransition.objects.create(
        sale=sale,
        item=item,
        from_state=sale.state,
        to_state=to_state or sale.state,
        note=note,
        actor=actor,
    )


def move(sale: FlashSale, state: SaleState, actor: "User | None") -> None:
    """Write the sale's new state and a line in its log; the row is locked."""
    log(sale, actor, to_state=state)
    logger.info("flash sale %s: %s to %s", sale.pk, sale.state, state)
    sale.state = state
    sale.save(update_fields=["state"])
