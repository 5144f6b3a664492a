"""What a provider's notification says, the same for every gateway."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from uuid import UUID

MOST = Decimal(10) ** 10


class BadSignature(Exception):
    """The notification does not come from the provider, or is too old to tell."""


class Unreadable(Exception):
    """The signature is right, but the content is not what we know."""


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
