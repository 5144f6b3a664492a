"""What a provider's notification says, the same for every gateway."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from uuid import UUID

MOST = Decimal(10) ** 18  # what the column of an amount can hold
OPENING = "opening"  # the reference of a payment while its page is being opened


class BadSignature(Exception):
    """The notification does not come from the provider, or is too old to tell."""


class Unreadable(Exception):
    """The signature is right, but the content is not what we know."""


class Unreachable(Exception):
    """The provider gave no answer that settles it; ask again later."""


class Refused(Exception):
    """The provider does not do this, and will not when asked again."""


@dataclass(frozen=True, slots=True)
class Page:
    """The provider's page of one payment, and the name the provider gave to it."""

    reference: str
    url: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification; `outcome` is empty when it is of no concern to us."""

    event_id: str
    payment_id: UUID | None
    outcome: str
    amount: Decimal | None = None
    currency: str = ""
    reference: str = ""


def amount_of(text: str) -> Decimal:
    """The amount of money in a text. Raises Unreadable for what cannot be one."""
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise Unreadable(f"{text!r} is not an amount") from error
    if not amount.is_finite() or abs(amount) >= MOST:
        raise Unreadable(f"{text!r} is not an amount")
    return amount
