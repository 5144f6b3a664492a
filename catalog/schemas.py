"""What the JSON API takes and gives for products and stock."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Generic, TypeVar

from django.conf import settings
from ninja import Field, Schema
from pydantic import (
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from catalog.models import StockMovement
from catalog.status import StockStatus

Item = TypeVar("Item")

# No control characters: PostgreSQL refuses NUL, and the others help nobody.
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"


def text(most: int, *, least: int = 0) -> StringConstraints:
    """One line of text of at most so many characters, without spaces around it."""
    return StringConstraints(
        strip_whitespace=True, min_length=least, max_length=most, pattern=PRINTABLE
    )


Sku = Annotated[str, text(80, least=1), Field(examples=["CLAY-POT"])]
# `?status=` asks for everything, as a filter that is left out does.
EmptyIsNone = BeforeValidator(lambda value: None if value == "" else value)
Quantity = Annotated[int, Field(ge=1, le=settings.SHOP_MAX_QUANTITY)]
Level = Annotated[int, Field(ge=0, le=settings.SHOP_MAX_QUANTITY)]
Price = Annotated[
    Decimal,
    Field(
        ge=0,
        le=settings.SHOP_MAX_PRICE,
        max_digits=9,
        decimal_places=2,
        examples=["19.90"],
    ),
]
Money = Annotated[
    Decimal,
    PlainSerializer(lambda number: f"{number:.2f}", return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^-?\d+\.\d{2}$", "examples": ["19.90"]},
        mode="serialization",
    ),
]


class Input(Schema):
    """What a client sends: unknown fields are refused, so a typing error is seen."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Schema):
    cursor: str = Field(
        "", max_length=1000, description="`next` of the list before; empty: the start."
    )


class ProductQuery(PageQuery):
    status: Annotated[StockStatus | None, EmptyIsNone] = None
    q: Annotated[str, text(200)] = Field("", description="Words, or their beginnings.")
    sku: Annotated[str, text(80)] = Field(
        "", description="Exactly this SKU; the only way to ask for `A/stock`."
    )


class ListOut(Schema, Generic[Item]):
    """Some rows; `next` is the cursor of the rows after them, or null."""

    items: list[Item]
    next: str | None


class FlashOut(Schema):
    """The flash sale a product is in just now."""

    sale_id: int
    name: str
    price: Money
    opens_at: datetime
    closes_at: datetime
    state: str = Field(examples=["open"])
    left: int | None = Field(description="Units that can be claimed now.")
    limit_per_buyer: int


class ProductOut(Schema):
    sku: str = Field(examples=["CLAY-POT"])
    name: str = Field(examples=["Clay pot"])
    price: Money
    currency: str = Field(examples=["USD"])
    status: StockStatus
    only_left: int | None = Field(
        description="From the low-stock level down: units that can be bought."
    )
    flash: FlashOut | None = Field(description="The flash sale that runs now, or null.")


class StockOut(Schema):
    sku: str
    on_hand: int
    reserved: int
    allocated: int
    available: int
    safety_threshold: int
    threshold_origin: str = Field(examples=["product", "category Garden", "store"])
    low_stock_level: int
    sellable: int
    status: StockStatus
    version: int
    updated_at: datetime


class ProductWithStockOut(ProductOut):
    stock: StockOut


class ProductIn(Input):
    sku: Sku
    name: Annotated[str, text(200, least=1)] = Field(examples=["Clay pot"])
    price: Price
    on_hand: Level = 0
    safety_threshold: Level | None = Field(None, description="Null: inherited.")
    low_stock_level: Level | None = Field(None, description="Null: inherited.")
    description: Annotated[
        str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")
    ] = ""
    is_published: bool = True


class StockChangeIn(Input):
    """What is to change; null for a level means that it is inherited again."""

    on_hand: Level | None = Field(None, examples=[25])
    safety_threshold: Level | None = None
    low_stock_level: Level | None = None
    expected_version: int = Field(ge=0, le=2**63 - 1, examples=[1])
    reason: Annotated[str, text(200)] = Field("", examples=["Counted on Monday"])


class MovementOut(Schema):
    id: int
    kind: StockMovement.Kind
    on_hand_delta: int
    reserved_delta: int
    allocated_delta: int
    on_hand_after: int
    reserved_after: int
    allocated_after: int
    cause: str
    reason: str
    actor: str | None
    created_at: datetime

    @staticmethod
    def resolve_actor(row: StockMovement) -> str | None:
        return row.actor.get_username() if row.actor else None
