"""Flash sales of the demo shop: one that is live, one that opens in a minute."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain, cycle, zip_longest
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.text import slugify

from catalog import stock
from catalog.models import Product
from sales import checkout, flash, recovery, sync
from sales.counters import ClaimRefused
from sales.demo import people
from sales.models import FlashSale, FlashSaleItem, ItemState, SaleState
from sales.orders import Contact

LIVE_FOR = timedelta(hours=6)
OPENS_IN = timedelta(minutes=1)
OPEN_FOR = timedelta(minutes=45)
PLANNED_IN = timedelta(days=21)


@dataclass(frozen=True, slots=True)
class Offer:
    """One item of a demo sale; no units means all of them."""

    sku: str
    price: str
    units: int | None = None
    limit: int = 1


# The tent has the threshold of its category, so its sale keeps a floor.
LIVE = [
    Offer("PHONES", "169.00", 30, 2),
    Offer("TENT", "259.00"),
    Offer("KETTLE", "59.00", 12),
    Offer("JACKET-M", "139.00", 5),
    Offer("PENDANT", "89.00", 6),
    Offer("NOTEBOOK", "9.00", 40, 5),
]
OPENING = [
    Offer("DUFFEL", "79.00", 10, 2),
    Offer("POUROVER", "29.00", 8),
    Offer("TURNTABLE", "239.00", 5),
    Offer("BEANIE", "15.00", 25, 3),
    Offer("SWEATER-S", "99.00", 6),
    Offer("KITE", "19.00", 12, 2),
    Offer("THROW", "59.00", 9),
    Offer("TRAIN", "24.00", 7),
    Offer("CANDLE", "14.00", 20, 3),
    Offer("BOTTLE-500", "19.00", 15, 2),
    Offer("CAN", "29.00", 6),
    Offer("SEEDS", "8.00", 30, 4),
]
AT_ONCE = 6  # items of a sale
PLANNED = [
    Offer("KEYS", "99.00", 20),
    Offer("PACK", "94.00", 15),
    Offer("LANTERN", "36.00", 25, 2),
]
# What shoppers claim in the rush at the opening: paid, held, too late. The pendant is
# sold out, of the jacket all is held, of the kettle little is left.
CLAIMED = {
    "PHONES": (7, 4, 0),
    "TENT": (5, 2, 0),
    "KETTLE": (8, 1, 0),
    "JACKET-M": (2, 3, 3),
    "PENDANT": (6, 0, 4),
    "NOTEBOOK": (11, 2, 0),
}


def keep_live(*, now: datetime, actor: User | None = None) -> FlashSale | None:
    """A sale that opens now, with its first rush; None when there is one already."""
    running = FlashSale.objects.filter(
        state__in=[SaleState.SCHEDULED, *flash.RUNNING],
        opens_at__lte=now,
        closes_at__gt=now,
    )
    if running.exists():
        return None
    sale = _scheduled("Harbor Lights", LIVE, now, now + LIVE_FOR, actor)
    if sale is None:
        return None
    flash.preload(sale.pk, actor=actor)
    recovery.open_fence()
    flash.advance(now)
    _sell_some(sale)
    return sale


def keep_opening(*, now: datetime, actor: User | None = None) -> FlashSale | None:
    """A scheduled sale that opens in a minute; None when one is still to open.

    The schedule loads it, in front of everybody's eyes.
    """
    coming = FlashSale.objects.filter(
        state__in=[SaleState.SCHEDULED, SaleState.LOADED],
        opens_at__gt=now,
        opens_at__lt=now + PLANNED_IN / 2,
    )
    if coming.exists():
        return None
    opens_at = now + OPENS_IN
    return _scheduled("Minute Rush", OPENING, opens_at, opens_at + OPEN_FOR, actor)


def plan(*, now: datetime) -> FlashSale | None:
    """A draft for the big day in three weeks."""
    opens_at = (now + PLANNED_IN).replace(hour=12, minute=0, second=0, microsecond=0)
    return _draft("Twelve Twelve", PLANNED, opens_at, opens_at + timedelta(hours=12))


def _scheduled(
    name: str,
    offers: Sequence[Offer],
    opens_at: datetime,
    closes_at: datetime,
    actor: User | None,
) -> FlashSale | None:
    sale = _draft(name, offers, opens_at, closes_at)
    return sale and flash.schedule(sale.pk, actor=actor)


@transaction.atomic
def _draft(
    name: str, offers: Sequence[Offer], opens_at: datetime, closes_at: datetime
) -> FlashSale | None:
    """A draft with what no other sale has at that time; None when that is nothing."""
    taken = FlashSaleItem.objects.exclude(state=ItemState.SETTLED).filter(
        opens_at__lt=closes_at, closes_at__gt=opens_at
    )
    products = (
        Product.objects.select_related("stock")
        .exclude(flash_items__in=taken)
        .in_bulk([offer.sku for offer in offers], field_name="sku")
    )
    free = [offer for offer in offers if offer.sku in products][:AT_ONCE]
    if not free:
        return None
    number = FlashSale.objects.filter(name=name).count() + 1
    sale = FlashSale.objects.create(
        name=name,
        slug=f"{slugify(name)}-{number}",
        opens_at=opens_at,
        closes_at=closes_at,
    )
    for offer in free:
        _top_up(products[offer.sku], offer)
    FlashSaleItem.objects.bulk_create(
        FlashSaleItem(
            sale=sale,
            product=products[offer.sku],
            price=Decimal(offer.price),
            requested_units=offer.units,
            limit_per_buyer=offer.limit,
            opens_at=opens_at,
            closes_at=closes_at,
        )
        for offer in free
    )
    return sale


def _sell_some(sale: FlashSale) -> None:
    """Let shoppers claim units of a live sale in a rush, and most of them pay."""
    items = sale.items.filter(state=ItemState.LOADED).select_related("product")
    shoppers = [(contact, _buyer(contact)) for contact in people.CONTACTS.values()]
    rush = [
        zip([item] * sum(CLAIMED[item.product.sku]), cycle(shoppers)) for item in items
    ]
    claims: dict[int, dict[UUID, Contact]] = {item.pk: {} for item in items}
    for item, (contact, buyer) in filter(None, chain(*zip_longest(*rush))):
        claim_id = uuid4()
        with suppress(ClaimRefused):
            flash.claim(item.pk, order_id=claim_id, buyer=buyer, quantity=1)
            claims[item.pk][claim_id] = contact
    for item in items:
        _pay_some(item, claims[item.pk])


def _pay_some(item: FlashSaleItem, claims: Mapping[UUID, Contact]) -> None:
    paid = CLAIMED[item.product.sku][0]
    sync.drain(item.pk)
    for claim_id, contact in claims.items():
        checkout.set_contact(claim_id, contact)
    for claim_id in list(claims)[:paid]:
        payment = checkout.begin_payment(claim_id)
        checkout.finish(payment.pk, "paid")
    sync.drain(item.pk)


def _buyer(contact: Contact) -> str:
    """As limits per buyer count them: the account, or a guest."""
    user = people.find(contact.email)
    return f"u:{user.pk}" if user else f"g:{uuid4()}"


def _top_up(product: Product, offer: Offer) -> None:
    """Receive what the sale needs, so that the demo can be started for ever."""
    row = product.stock
    wanted = (offer.units or 20) + row.safety_threshold
    if row.available < wanted:
        note = stock.Note(cause="demo", reason="Delivery for the flash sale")
        stock.receive(product.pk, wanted - row.available, note=note)
