"""Making a flash sale: its name, its window, its items, all at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import uuid4

from django.db import IntegrityError, transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from catalog.models import Product
from sales import flash
from sales.models import FlashSale, FlashSaleItem
from sales.orders import NotPossible

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Offer:
    """One product of a sale to be; `units` of None means all there are at preload."""

    product: Product
    units: int | None
    price: Decimal
    limit_per_buyer: int = 1


@transaction.atomic
def create(
    name: str,
    opens_at: datetime,
    closes_at: datetime,
    offers: Sequence[Offer],
    *,
    has_waiting_room: bool = False,
    actor: "User | None" = None,
) -> FlashSale:
    """A scheduled flash sale with its items.

    Raises NotPossible with a sentence: no items, a window that is over or upside down,
    a product that is in another sale at that time.
    """
    if closes_at <= opens_at:
        raise NotPossible(_("The sale must close after it opens."))
    sale = FlashSale.objects.create(
        name=name,
        slug=_slug(name),
        opens_at=opens_at,
        closes_at=closes_at,
        has_waiting_room=has_waiting_room,
    )
    for offer in offers:
        _add(sale, offer)
    return flash.schedule(sale.pk, actor=actor)


@transaction.atomic
def clone(
    sale: FlashSale, name: str, opens_at: datetime, *, has_waiting_room: bool
) -> FlashSale:
    """A draft with the same items, as long as the sale is.

    Raises IntegrityError when a product is in another sale at that time.
    """
    copy = FlashSale.objects.create(
        name=name,
        slug=_slug(name),
        opens_at=opens_at,
        closes_at=opens_at + (sale.closes_at - sale.opens_at),
        has_waiting_room=has_waiting_room,
    )
    for item in sale.items.all():
        FlashSaleItem.objects.create(
            sale=copy,
            product=item.product,
            price=item.price,
            requested_units=item.requested_units,
            limit_per_buyer=item.limit_per_buyer,
            opens_at=copy.opens_at,
            closes_at=copy.closes_at,
        )
    return copy


def _slug(name: str) -> str:
    return f"{slugify(name)[:120] or 'sale'}-{uuid4().hex[:8]}"


def _add(sale: FlashSale, offer: Offer) -> None:
    try:
        with transaction.atomic():
            FlashSaleItem.objects.create(
                sale=sale,
                product=offer.product,
                price=offer.price,
                requested_units=offer.units,
                limit_per_buyer=offer.limit_per_buyer,
                opens_at=sale.opens_at,
                closes_at=sale.closes_at,
            )
    except IntegrityError as error:
        raise NotPossible(
            _("%(sku)s is in this or another flash sale at that time already.")
            % {"sku": offer.product.sku}
        ) from error
