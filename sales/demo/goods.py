"""Categories, products, pictures and first stock of the demo shop."""

import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.text import slugify
from simple_history.utils import bulk_create_with_history

from catalog import stock, thresholds
from catalog.models import Category, Product, ProductPicture
from sales.demo import pictures

if TYPE_CHECKING:
    from django.contrib.auth.models import User

FILE = Path(__file__).parent / "products.toml"


@transaction.atomic
def fill(*, actor: "User | None" = None) -> dict[str, Product]:
    """Put everything of products.toml into an empty shop; products by their SKU."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    thresholds.change_store(
        safety_threshold=data["store"]["threshold"],
        low_stock_level=data["store"]["low"],
        actor=actor,
    )
    categories = _categories(data["categories"])
    variants = [
        {**row, **variant, "product": _product(row, variant, categories)}
        for row in data["products"]
        for variant in _variants(row)
    ]
    products = bulk_create_with_history(
        [variant["product"] for variant in variants], Product, default_user=actor
    )
    _hang_pictures(products)
    inherited = thresholds.Defaults()
    stock.open_many(
        [
            _opening(variant, product, inherited)
            for variant, product in zip(variants, products, strict=True)
        ],
        note=stock.Note(cause="demo", reason="Opening stock", actor=actor),
    )
    return {product.sku: product for product in products}


def draw_pictures() -> int:
    """Write the picture files of all products; return how many."""
    rows = tomllib.loads(FILE.read_text(encoding="utf-8"))["products"]
    for row in rows:
        shape, backdrop, main, accent = row["picture"]
        for view in pictures.VIEWS:
            drawing = pictures.draw(
                shape, backdrop=backdrop, main=main, accent=accent, view=view
            )
            name = _view_name(_picture_name(row), view)
            default_storage.delete(name)
            default_storage.save(name, ContentFile(drawing.encode()))
    return len(rows) * len(pictures.VIEWS)


def _categories(rows: list[dict[str, Any]]) -> dict[str, Category]:
    made: dict[str, Category] = {}
    for position, row in enumerate(rows):
        made[row["slug"]] = Category.objects.create(
            parent=made.get(row.get("parent", "")),
            name=row["name"],
            slug=row["slug"],
            position=position,
            safety_threshold=row.get("threshold"),
            low_stock_level=row.get("low"),
        )
    return made


def _variants(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What differs between the sizes of a product; one of them if it has no sizes."""
    if "sizes" not in row:
        yield {}
    for size in row.get("sizes", []):
        yield {
            **size,
            "sku": f"{row['sku']}-{size['sku']}",
            "name": f"{row['name']}, {size['name']}",
        }


def _product(
    row: dict[str, Any], variant: dict[str, Any], categories: dict[str, Category]
) -> Product:
    merged = {**row, **variant}
    was = None if "price" in variant else row.get("was")
    return Product(
        sku=merged["sku"],
        handle=slugify(row["name"]),
        name=merged["name"],
        slug=slugify(merged["name"]),
        description=row["description"].strip(),
        vendor=row["vendor"],
        category=categories[row["category"]],
        price=Decimal(merged["price"]),
        compare_at_price=Decimal(was) if was else None,
        picture=_picture_name(row),
    )


def _hang_pictures(products: list[Product]) -> None:
    """Rows for the pictures of each product; its variants share the files."""
    words = {"front": "{}", "close": "{}, from close by", "shelf": "{} on a shelf"}
    ProductPicture.objects.bulk_create(
        ProductPicture(
            product=product,
            file=_view_name(str(product.picture), view),
            alt=words[view].format(product.name),
            position=position,
        )
        for product in products
        for position, view in enumerate(pictures.VIEWS, start=1)
    )


def _picture_name(row: dict[str, Any]) -> str:
    return f"products/{slugify(row['name'])}.svg"


def _view_name(name: str, view: str) -> str:
    """The file of another view of the product whose first picture is `name`."""
    return name if view == "front" else name.replace(".svg", f"-{view}.svg")


def _opening(
    row: dict[str, Any], product: Product, inherited: thresholds.Defaults
) -> stock.Opening:
    def level(name: str, field: str) -> int:
        default = inherited.of(product.category_id, field).number
        return int(row.get(name, default))

    return stock.Opening(
        product_id=product.pk,
        on_hand=row["on_hand"],
        safety_threshold=level("threshold", "safety_threshold"),
        low_stock_level=level("low", "low_stock_level"),
        inherits_threshold="threshold" not in row,
        inherits_low_stock_level="low" not in row,
    )
