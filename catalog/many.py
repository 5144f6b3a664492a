"""Products by the thousand, to see how the shop does with them."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice

from django.db import connection, transaction

from catalog import stock, thresholds
from catalog.models import Category, Product

BATCH = 5_000
PREFIX = "MANY-"
KINDS = ("Bowl", "Kettle", "Lamp", "Tent", "Kite", "Mug", "Basket", "Clock", "Rope")
LOOKS = ("red", "blue", "oak", "linen", "steel", "clay", "woven", "small", "round")
VENDORS = ("Northquay", "Millrace", "Saltmarsh", "Tidewater", "Hollow", "Cairn")


def load(wanted: int) -> int:
    """Make products until there are so many of them; return how many were made.

    Their numbers are the same every time, so a repeat makes only what is missing. Each
    batch is one transaction, with its stock and ledger.
    """
    there = Product.objects.filter(sku__startswith=PREFIX).count()
    categories = [*Category.objects.order_by("pk"), None]
    products = (_product(n, categories) for n in range(there, wanted))
    made = 0
    while batch := list(islice(products, BATCH)):
        _create(batch)
        made += len(batch)
    with connection.cursor() as cursor:
        for table in ("catalog_product", "catalog_stock"):
            cursor.execute(f"ANALYZE {table}")
    return made


@transaction.atomic
def _create(batch: list[Product]) -> None:
    thresholds.hold()
    defaults = thresholds.Defaults()
    Product.objects.bulk_create(batch)
    stock.open_many(list(_openings(batch, defaults)), note=stock.Note(cause="many"))


def _product(number: int, categories: list[Category | None]) -> Product:
    look = LOOKS[number % len(LOOKS)]
    kind = KINDS[number // len(LOOKS) % len(KINDS)]
    vendor = VENDORS[number % len(VENDORS)]
    name = f"{look.title()} {kind.lower()} {number:07}"
    price = Decimal(199 + number * 7919 % 20_000) / 100
    return Product(
        sku=f"{PREFIX}{number:07}",
        handle=f"many-{number:07}",
        slug=f"many-{number:07}",
        name=name,
        description=f"A {look} {kind.lower()} from {vendor}, one of very many.",
        vendor=vendor,
        category=categories[number % len(categories)],
        price=price,
        compare_at_price=price * 2 if number % 10 == 0 else None,
    )


def _openings(
    batch: list[Product], defaults: thresholds.Defaults
) -> Iterator[stock.Opening]:
    """Stock for each: every seventh has none, the others up to a hundred units."""
    for product in batch:
        number = int(product.sku.removeprefix(PREFIX))
        yield stock.Opening(
            product.pk,
            number * 31 % 100 + 1 if number % 7 else 0,
            defaults.of(product.category_id, "safety_threshold").number,
            defaults.of(product.category_id, "low_stock_level").number,
            True,
            True,
        )
