"""The first Stock row of a new product."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from operator import attrgetter

from django.db import transaction

from catalog import copying
from catalog.models import Product, Stock
from catalog.stock import terms, writing
from catalog.stock.terms import Delta, Kind, Note


@dataclass(frozen=True, slots=True)
class Opening:
    """The first Stock row of a new product."""

    product_id: int
    on_hand: int
    safety_threshold: int
    low_stock_level: int
    inherits_threshold: bool = True
    inherits_low_stock_level: bool = True


def open_stock(
    product: Product,
    *,
    on_hand: int,
    safety_threshold: int,
    low_stock_level: int,
    inherits_threshold: bool = True,
    inherits_low_stock_level: bool = True,
    kind: str = Kind.RECEIPT,
    note: Note,
) -> Stock:
    """Give a new product its Stock row, with a first movement for what is there."""
    opening = Opening(
        product.pk,
        on_hand,
        safety_threshold,
        low_stock_level,
        inherits_threshold,
        inherits_low_stock_level,
    )
    open_many([opening], kind=kind, note=note)
    return Stock.objects.get(pk=product.pk)


@transaction.atomic
def open_many(
    openings: Iterable[Opening], *, kind: str = Kind.RECEIPT, note: Note
) -> None:
    """Give new products their Stock rows and first movements, all at once.

    A first status is not a crossing: nothing is recorded as a StatusChange.
    Raises ValueError when a number is out of range.
    """
    rows, movements = [], []
    for opening in sorted(openings, key=attrgetter("product_id")):
        terms.check_on_hand(opening.on_hand)
        rows.append(Stock(**asdict(opening)))
        if delta := Delta(on_hand=opening.on_hand):
            movements.append(
                writing.movement_of(opening.product_id, kind, delta, delta, note)
            )
    copying.insert(rows)
    copying.insert(movements)
