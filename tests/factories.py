"""`make_*`: rows for tests; every field has a default, name only what matters."""

from decimal import Decimal
from itertools import count

from django.utils.text import slugify

from catalog import stock
from catalog.models import Category, Product

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
