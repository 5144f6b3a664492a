"""/api/v1 for products and stock."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from ninja import Path, Query, Router, Status

from catalog import keyset, products, search, stock, thresholds
from catalog.callers import Token, staff_of
from catalog.models import Product, Stock, StockMovement
from catalog.problems import Problem, declared
from catalog.schemas import (
    FlashOut,
    ListOut,
    MovementOut,
    PageQuery,
    ProductIn,
    ProductOut,
    ProductQuery,
    ProductWithStockOut,
    Sku,
    StockChangeIn,
    StockOut,
)
from catalog.status import StockStatus
from catalog.thresholds import KEEP, Levels

router = Router(tags=["Products and stock"])
Row = TypeVar("Row", bound=Model)
PAGE = 50


@router.get(
    "/products",
    url_name="products",
    auth=Token(),
    response={200: ListOut[ProductOut], **declared(422)},
)
def list_products(request: HttpRequest, filters: Query[ProductQuery]) -> dict[str, Any]:
    """Products by name, filtered by status, words and SKU. Codes: `bad_cursor`."""
    rows = Product.objects.published().filter(stock__isnull=False)
    if filters.status:
        rows = rows.with_status(filters.status)
    if filters.q.strip():
        rows = search.matching(rows, filters.q)
    if filters.sku:
        rows = rows.filter(sku=filters.sku)
    page = page_of(rows.select_related("stock"), by="name", cursor=filters.cursor)
    offers = _offers([row.pk for row in page.items])
    items = [product_out(row, offers.get(row.pk)) for row in page.items]
    return {"items": items, "next": page.next}


@router.post(
    "/products",
    url_name="products",
    auth=Token("catalog.add_product"),
    response={201: ProductWithStockOut, **declared(409)},
)
def create_product(
    request: HttpRequest, body: ProductIn
) -> Status[ProductWithStockOut]:
    """Add a product with its stock. Codes: `sku_taken`."""
    new = products.New(**body.dict())
    try:
        product = products.create(new, actor=staff_of(request))
    except products.SkuTaken as error:
        raise Problem(
            409, "sku_taken", _("Another product has this SKU already.")
        ) from error
    shown = dict(product_out(product, None))
    return Status(201, ProductWithStockOut(**shown, stock=_stock_out(product)))


@router.get(
    "/products/{path:sku}/stock",
    auth=Token("catalog.view_stock"),
    response={200: StockOut, **declared(404)},
)
def get_stock(request: HttpRequest, sku: Path[Sku]) -> StockOut:
    """What is there, what is promised, and what may be sold."""
    return _stock_out(product_of(sku, published=False))


@router.patch(
    "/products/{path:sku}/stock",
    auth=Token("catalog.change_stock"),
    response={200: StockOut, **declared(404, 409)},
)
def change_stock(request: HttpRequest, sku: Path[Sku], body: StockChangeIn) -> StockOut:
    """Set the counted number, the levels, or both at once; all or nothing.

    `expected_version` is the version you have read. Codes: `version_conflict` with the
    `version` there is now, `stock_conflict` when units are promised to orders.
    """
    product = product_of(sku, published=False)
    sent = body.model_fields_set
    levels = Levels(
        body.safety_threshold if "safety_threshold" in sent else KEEP,
        body.low_stock_level if "low_stock_level" in sent else KEEP,
    )
    actor = staff_of(request)
    try:
        with transaction.atomic():
            thresholds.change(
                {product.pk: levels},
                expected_version=body.expected_version,
                actor=actor,
                reason=body.reason,
            )
            if body.on_hand is not None:
                note = stock.Note(reason=body.reason, actor=actor)
                stock.adjust(product.pk, on_hand=body.on_hand, note=note)
    except stock.VersionConflict as error:
        raise Problem(
            409,
            "version_conflict",
            _("Somebody changed this stock meanwhile; read it again."),
            version=error.stock.version,
        ) from error
    except stock.StockConflict as error:
        raise Problem(409, "stock_conflict", str(error)) from error
    product.stock = Stock.objects.get(pk=product.pk)
    return _stock_out(product)


@router.get(
    "/products/{path:sku}/movements",
    auth=Token("catalog.view_stock"),
    response={200: ListOut[MovementOut], **declared(404)},
)
def list_movements(
    request: HttpRequest, sku: Path[Sku], query: Query[PageQuery]
) -> keyset.Page[StockMovement]:
    """The ledger: every change of the product's quantities, newest first."""
    product = product_of(sku, published=False)
    rows = StockMovement.objects.filter(product=product).select_related("actor")
    return page_of(rows, by="-id", cursor=query.cursor)


@router.get(
    "/products/{path:sku}", auth=Token(), response={200: ProductOut, **declared(404)}
)
def get_product(request: HttpRequest, sku: Path[Sku]) -> ProductOut:
    """One product. Codes: `unknown_sku`.

    A SKU may hold slashes. One that ends in `/stock` or `/movements` is not found here:
    those are the addresses of other calls. Ask for `/products?sku=` instead.
    """
    product = product_of(sku)
    return product_out(product, _offers([product.pk]).get(product.pk))


# -- Used by the API of sales too --------------------------------------------------


def product_of(sku: str, *, published: bool = True) -> Product:
    """The product with that SKU and its stock, or the problem `unknown_sku`."""
    rows = Product.objects.published() if published else Product.objects.all()
    product = rows.select_related("stock").filter(sku=sku).first()
    if product is None or not hasattr(product, "stock"):
        raise unknown_sku(sku)
    return product


def unknown_sku(sku: str) -> Problem:
    return Problem(404, "unknown_sku", _("There is no product with this SKU."), sku=sku)


def page_of(
    rows: QuerySet[Row], *, by: str, cursor: str, size: int = PAGE
) -> keyset.Page[Row]:
    """A page of rows, or the problem `bad_cursor`."""
    try:
        return keyset.page(rows, by=by, cursor=cursor, size=size)
    except keyset.BadCursor as error:
        raise Problem(
            422, "bad_cursor", _("Use a cursor exactly as the list before gave it.")
        ) from error


def product_out(product: Product, flash: FlashOut | None) -> ProductOut:
    """A product as everybody may see it."""
    row = product.stock
    is_low = row.is_out or row.sellable <= row.low_stock_level
    return ProductOut(
        sku=product.sku,
        name=product.name,
        price=product.price,
        currency=settings.SHOP_CURRENCY,
        status=StockStatus(row.status),
        only_left=row.sellable if is_low else None,
        flash=flash,
    )


def _stock_out(product: Product) -> StockOut:
    row = product.stock
    return StockOut(
        sku=product.sku,
        on_hand=row.on_hand,
        reserved=row.reserved,
        allocated=row.allocated,
        available=row.available,
        safety_threshold=row.safety_threshold,
        threshold_origin=thresholds.origin(product),
        low_stock_level=row.low_stock_level,
        sellable=row.sellable,
        status=StockStatus(row.status),
        version=row.version,
        updated_at=row.updated_at,
    )


def _offers(product_ids: Collection[int]) -> dict[int, FlashOut]:
    """The flash sales these products are in now, from the app that knows of them."""
    read: Callable[[Collection[int]], dict[int, FlashOut]]
    read = import_string(settings.SHOP_FLASH_OFFERS)
    return read(product_ids)
