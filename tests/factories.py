"""`make_*`: rows for tests; every field has a default, name only what matters."""

from datetime import timedelta
from decimal import Decimal
from itertools import count

from django.utils import timezone
from django.utils.text import slugify

from catalog import stock
from catalog.models import Category, Product
from sales import flash
from sales.models import FlashSale, FlashSaleItem

_serial = count(1)


def make_category(name="Garden", *, parent=None, **fields):
    fields.setdefault("slug", f"{slugify(name)}-{next(_serial)}")
    return Category.objects.create(name=name, parent=parent, **fields)


def make_product(
    name="Clay pot",
    *,
    on_hand=10,
    safety_threshold=0,
    low_stock_level=0,
    inherits_threshold=False,
    inherits_low_stock_level=False,
    **fields,
):
    """A product with its stock; `.stock` is fresh."""
    serial = next(_serial)
    fields.setdefault("sku", f"SKU-{serial}")
    fields.setdefault("slug", f"{slugify(name)}-{serial}")
    fields.setdefault("handle", slugify(name))
    fields.setdefault("price", Decimal("9.99"))
    product = Product.objects.create(name=name, **fields)
    stock.open_stock(
        product,
        on_hand=on_hand,
        safety_threshold=safety_threshold,
        low_stock_level=low_stock_level,
        inherits_threshold=inherits_threshold,
        inherits_low_stock_level=inherits_low_stock_level,
        note=stock.Note(cause="test"),
    )
    product.refresh_from_db()
    return product


def make_sale(name="Night sale", *, opens_in=-60, closes_in=3600, **fields):
    """A draft flash sale without items; times in seconds from now."""
    now = timezone.now()
    fields.setdefault("slug", f"{slugify(name)}-{next(_serial)}")
    return FlashSale.objects.create(
        name=name,
        opens_at=now + timedelta(seconds=opens_in),
        closes_at=now + timedelta(seconds=closes_in),
        **fields,
    )


def make_item(*, product=None, sale=None, units=None, limit=10, price=None, **fields):
    """An item of a scheduled flash sale that is open now, not loaded yet."""
    sale = sale or make_sale(state=FlashSale.State.SCHEDULED)
    product = product or make_product()
    return FlashSaleItem.objects.create(
        sale=sale,
        product=product,
        price=price or Decimal("5.00"),
        requested_units=units,
        limit_per_buyer=limit,
        opens_at=sale.opens_at,
        closes_at=sale.closes_at,
        **fields,
    )


def make_loaded_item(**fields):
    """An item whose units are allocated and whose counters are in Redis."""
    item = make_item(**fields)
    (outcome,) = [o for o in flash.preload(item.sale_id) if o.item_id == item.pk]
    assert not outcome.error, outcome
    item.refresh_from_db()
    return item
