"""Bringing a new product into the shop."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import uuid4

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from catalog import stock, thresholds
from catalog.models import Product, Stock

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class SkuTaken(Exception):
    """Another product has this SKU."""


@dataclass(frozen=True, slots=True)
class New:
    """A product to be; a level of None is inherited."""

    sku: str
    name: str
    price: Decimal
    on_hand: int = 0
    safety_threshold: int | None = None
    low_stock_level: int | None = None
    description: str = ""
    is_published: bool = True


@transaction.atomic
def create(new: New, *, actor: "User | None" = None) -> Product:
    """A product with its stock row and first movement. Raises SkuTaken."""
    thresholds.hold()
    handle = slugify(new.name)[:150] or "product"
    product = Product(
        sku=new.sku,
        name=new.name,
        handle=handle,
        slug=f"{handle}-{uuid4().hex[:8]}",
        price=new.price,
        description=new.description,
        is_published=new.is_published,
    )
    if Product.objects.filter(sku=new.sku).exists():
        raise SkuTaken(new.sku)
    try:
        with transaction.atomic():
            product.save()
    except IntegrityError as error:
        raise SkuTaken(new.sku) from error
    product.stock = open_stock(
        product,
        on_hand=new.on_hand,
        safety_threshold=new.safety_threshold,
        low_stock_level=new.low_stock_level,
        actor=actor,
    )
    return product


def open_stock(
    product: Product,
    *,
    on_hand: int,
    safety_threshold: int | None,
    low_stock_level: int | None,
    actor: "User | None" = None,
) -> Stock:
    """A saved product's first stock row, with its movement.

    A level of None is inherited from the category or the store. The caller has called
    `thresholds.hold()` in this transaction, so that no default changes meanwhile.
    """
    defaults = thresholds.Defaults()

    def level(wanted: int | None, field: str) -> int:
        if wanted is not None:
            return wanted
        return defaults.of(product.category_id, field).number

    return stock.open_stock(
        product,
        on_hand=on_hand,
        safety_threshold=level(safety_threshold, "safety_threshold"),
        low_stock_level=level(low_stock_level, "low_stock_level"),
        inherits_threshold=safety_threshold is None,
        inherits_low_stock_level=low_stock_level is None,
        note=stock.Note(reason="new product", actor=actor),
    )
