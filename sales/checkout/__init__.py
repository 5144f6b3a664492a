"""From an order to money and back, the same for regular and flash orders.

The one entrance for pages, API and jobs: it looks at the order's channel and calls
`orders` (decided in PostgreSQL) or the counters (decided in Redis, drained later). The
provider's word is stored first, then the order follows it; a crash in between is made
good by `follow_payments`.
"""

from sales.checkout.catching_up import FOLLOW_SECONDS, expire_due, follow_payments
from sales.checkout.changing import NotChanged, cancel, change_claim, claim_again
from sales.checkout.finding import Pending, order_for_shopper, record
from sales.checkout.following import follow
from sales.checkout.paying import (
    OUTCOMES,
    ask,
    begin_payment,
    finish,
    hear,
    open_page,
    payment_url,
    set_contact,
)
from sales.checkout.refunding import refund, try_refunds

__all__ = [
    "FOLLOW_SECONDS",
    "OUTCOMES",
    "NotChanged",
    "Pending",
    "ask",
    "begin_payment",
    "cancel",
    "change_claim",
    "claim_again",
    "expire_due",
    "finish",
    "follow",
    "follow_payments",
    "hear",
    "open_page",
    "order_for_shopper",
    "payment_url",
    "record",
    "refund",
    "set_contact",
    "try_refunds",
]
