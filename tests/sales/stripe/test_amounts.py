"""Amounts as Stripe counts them."""

from decimal import Decimal

import pytest

from sales.payments.notice import Refused
from sales.payments.stripe import major, minor


@pytest.mark.parametrize(
    ("amount", "currency", "counted"),
    [
        ("29.97", "USD", 2997),
        ("150000", "IDR", 15000000),
        ("1200", "JPY", 1200),
        ("1200", "jpy", 1200),
        ("5000.00", "ISK", 500000),
        ("1.25", "KWD", 1250),
        ("0", "EUR", 0),
    ],
)
def test_amounts_are_counted_as_stripe_counts_them(amount, currency, counted):
    assert minor(Decimal(amount), currency) == counted
    assert major(counted, currency) == Decimal(amount)


@pytest.mark.parametrize("currency", ["JPY", "KRW", "ISK", "UGX"])
def test_parts_that_nobody_can_pay_are_refused(currency):
    with pytest.raises(Refused):
        minor(Decimal("9.99"), currency)
