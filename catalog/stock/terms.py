"""The words of every change: how much, why, and what stands in its way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from catalog.models import Stock, StockMovement

if TYPE_CHECKING:
    from django.contrib.auth.models import User


Kind = StockMovement.Kind


@dataclass(frozen=True, slots=True)
class Shortage:
    """One line that asked for more than the shop may sell."""

    product_id: int
    requested: int
    sellable: int


class InsufficientStock(Exception):
    """Some lines ask for more than is sellable; nothing was taken."""

    def __init__(self, shortages: Sequence[Shortage]) -> None:
        self.shortages = list(shortages)
        super().__init__(
            "; ".join(
                f"product {s.product_id}: {s.requested} asked, {s.sellable} sellable"
                for s in self.shortages
            )
        )


class StockConflict(Exception):
    """The stock row is not what the caller believed; nothing was changed."""


class VersionConflict(StockConflict):
    """Somebody changed the row since the caller read it."""

    def __init__(self, stock: Stock) -> None:
        self.stock = stock
        super().__init__(f"product {stock.pk} is at version {stock.version}")


@dataclass(frozen=True, slots=True)
class Note:
    """Why a quantity changes: an internal cause, a person's words, a person."""

    cause: str = ""
    reason: str = ""
    actor: "User | None" = None


@dataclass(frozen=True, slots=True)
class Delta:
    on_hand: int = 0
    reserved: int = 0
    allocated: int = 0

    def __bool__(self) -> bool:
        return bool(self.on_hand or self.reserved or self.allocated)

    def __add__(self, other: "Delta") -> "Delta":
        return Delta(
            self.on_hand + other.on_hand,
            self.reserved + other.reserved,
            self.allocated + other.allocated,
        )


def check_quantity(quantity: int) -> None:
    """Raise ValueError unless `quantity` is a number of units somebody can mean."""
    if not 1 <= quantity <= settings.SHOP_MAX_QUANTITY:
        raise ValueError(
            f"quantity must be from 1 to {settings.SHOP_MAX_QUANTITY}, got {quantity}"
        )


def check_on_hand(on_hand: int) -> None:
    """Raise ValueError unless `on_hand` can be a count of what is there."""
    if not 0 <= on_hand <= settings.SHOP_MAX_QUANTITY:
        raise ValueError(
            f"on hand must be from 0 to {settings.SHOP_MAX_QUANTITY}, got {on_hand}"
        )


def check_all(quantities: Mapping[int, int]) -> None:
    """Raise ValueError unless every quantity is one that somebody can mean."""
    for quantity in quantities.values():
        check_quantity(quantity)
