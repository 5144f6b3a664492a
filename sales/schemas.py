"""What the JSON API takes and gives for accounts, carts, orders and flash sales."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from ninja import Field, Schema
from pydantic import AfterValidator, AwareDatetime, StringConstraints, model_validator

from catalog.schemas import (
    PRINTABLE,
    EmptyIsNone,
    Input,
    Money,
    PageQuery,
    Price,
    Quantity,
    Sku,
    text,
)
from sales.models import EntryState, OrderState, PaymentState, SaleState, Verdict


def _email(value: str) -> str:
    try:
        validate_email(value)
    except ValidationError as error:
        raise ValueError(error.messages[0]) from error
    return value


Email = Annotated[
    str,
    StringConstraints(min_length=3, max_length=150, pattern=PRINTABLE),
    AfterValidator(_email),
    Field(examples=["ada@example.com"], json_schema_extra={"format": "email"}),
]
Password = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")
]


# -- Accounts ---------------------------------------------------------------------


class UserIn(Input):
    email: Email
    password: Password = Field(examples=["correct horse battery"])


class UserOut(Schema):
    id: int
    token: str = Field(examples=["hf_..."])
    expires_at: datetime


class TokenIn(UserIn):
    code: Annotated[str, text(20)] = Field(
        "", description="The code of the authenticator app, where one is set up."
    )
    name: Annotated[str, text(80)] = Field("", examples=["Warehouse robot"])
    scopes: Annotated[list[Annotated[str, text(100)]], Field(max_length=100)] | None = (
        Field(
            None,
            description="Permissions the token may use; null: all its user has.",
            examples=[["catalog.view_stock", "catalog.change_stock"]],
        )
    )
    days: int | None = Field(None, ge=1, le=365, description="How long it is valid.")


class TokenOut(Schema):
    token: str = Field(examples=["hf_..."])
    expires_at: datetime


class GuestOut(Schema):
    token: str = Field(examples=["hfg_..."])
    buyer: str = Field(examples=["g:6f1c..."])


# -- Carts and orders -------------------------------------------------------------


class CartItemIn(Input):
    quantity: int = Field(ge=0, le=settings.SHOP_MAX_QUANTITY, examples=[2])


class CartLineOut(Schema):
    sku: str
    name: str
    quantity: int
    price: Money
    total: Money
    can_have: int = Field(description="How many of them could be had now.")
    is_short: bool


class CartOut(Schema):
    id: UUID
    items: list[CartLineOut]
    total: Money
    currency: str


class OrderIn(Input):
    cart_id: UUID
    email: Email | None = Field(None, description="May be left out with a user token.")
    full_name: Annotated[str, text(120)] = ""
    address: Annotated[str, text(200)] = ""
    postal_code: Annotated[str, text(20)] = ""
    city: Annotated[str, text(100)] = ""
    country: Annotated[str, StringConstraints(pattern=r"^([A-Z]{2})?$")] = Field(
        "", examples=["ID"]
    )


class OrderLineOut(Schema):
    sku: str
    name: str
    quantity: int
    price: Money
    total: Money


class OrderOut(Schema):
    id: UUID
    state: OrderState
    email: str
    lines: list[OrderLineOut]
    total: Money
    currency: str
    flash_sale_id: int | None
    expires_at: datetime = Field(description="Until when unpaid units are kept.")
    created_at: datetime
    paid_at: datetime | None = Field(
        description="Of a flash order it may be known a moment after its state."
    )


class PaymentIn(Input):
    email: Email | None = Field(None, description="Where the receipt goes.")


class PaymentOut(Schema):
    payment_url: str = Field(description="Where the shopper pays; ends with its id.")
    payment_id: UUID
    state: PaymentState
    amount: Money
    currency: str


class OutcomeIn(Input):
    outcome: Literal["paid", "declined"]


class OutcomeOut(Schema):
    payment_id: UUID
    state: PaymentState
    order_id: UUID


class ReceivedOut(Schema):
    received: bool = True
    repeated: bool


# -- Flash sales ------------------------------------------------------------------


# What has another year is a mistake, and the ends of the calendar fit no time zone.
Moment = Annotated[
    AwareDatetime,
    Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC)),
]


class OfferIn(Input):
    sku: Sku
    units: Quantity | Literal["all"]
    price: Price
    limit_per_buyer: Quantity = 1


class FlashSaleIn(Input):
    name: Annotated[str, text(120, least=1)] = Field(examples=["12.12"])
    opens_at: Moment
    closes_at: Moment
    items: list[OfferIn] = Field(min_length=1, max_length=500)
    has_waiting_room: bool = Field(
        False, description="Let shoppers in one after the other."
    )

    @model_validator(mode="after")
    def _in_order(self) -> "FlashSaleIn":
        if self.closes_at <= self.opens_at:
            raise ValueError("closes_at must be after opens_at")
        return self


class SaleQuery(PageQuery):
    state: Annotated[SaleState | None, EmptyIsNone] = None


class FlashItemOut(Schema):
    """One product of a sale. `left` is what can be claimed now, above `floor`."""

    sku: str
    name: str
    price: Money
    regular_price: Money
    limit_per_buyer: int
    state: str = Field(
        examples=["open"],
        description="not_started, open, sold_out, all_held, paused, ended, not_loaded",
    )
    units: int | None = Field(description="Units set aside for the sale.")
    left: int | None
    floor: int | None = Field(description="Units of them that are safety stock.")
    held: int | None
    paying: int | None
    paid: int | None
    error: str | None = Field(None, description="Why it could not be preloaded.")


class FlashSaleOut(Schema):
    id: int
    name: str
    state: SaleState
    opens_at: datetime
    closes_at: datetime
    now: datetime = Field(description="The clock that opens and closes the sale.")
    has_waiting_room: bool = Field(
        description="Whether a claim must be let in by the sale's waiting room first."
    )
    items: list[FlashItemOut]


class WaitingRoomOut(Schema):
    """A buyer's place in the waiting room of a flash sale."""

    state: str = Field(
        examples=["waiting"],
        description=(
            "outside: not joined; early: joined, places are drawn when the sale opens; "
            "waiting; inside: may claim; none: the sale has no room, everybody may "
            "claim; closed: sold out; over"
        ),
    )
    inside: bool = Field(description="Whether a claim would be let past the room now.")
    place: int | None = Field(description="Counted from 1; null while none is known.")
    ahead: int | None
    estimated_seconds: int | None = Field(
        description="Until it is the buyer's turn; null while it cannot be told."
    )
    pass_ends_at: datetime | None = Field(description="Until when to claim.")
    opens_at: datetime
    now: datetime


class ClaimIn(Input):
    sku: Sku
    quantity: Quantity = 1
    email: Email | None = None


class ClaimOut(Schema):
    order_id: UUID
    state: OrderState
    expires_at: datetime
    left: int


class WaitingIn(Input):
    sku: Sku
    quantity: Quantity = 1
    email: Email | None = Field(None, description="May be left out with a user token.")


class WaitingEntryOut(Schema):
    """A place in a waiting list; `order_id` is what its offer's order will be."""

    order_id: UUID
    state: EntryState
    place: int | None = Field(description="1 is the first in line; null: not waiting.")
    quantity: int
    reason: str = Field(description="Why it was closed: ended, limit, conflict.")
    created_at: datetime
    offered_at: datetime | None


class FindingOut(Schema):
    """One invariant of one subject; `holds` is null when it could not be checked."""

    invariant: int
    sentence: str
    subject: str
    holds: bool | None
    numbers: dict[str, int]
    first_difference: str


class AuditOut(Schema):
    verdict: Verdict
    at: datetime
    findings: list[FindingOut]
