"""Carts, orders, payments, and flash sales with their event ledger."""

from sales.models.api import ApiToken, StoredAnswer
from sales.models.carts import Cart, CartLine
from sales.models.flash_sales import (
    FlashAdjustment,
    FlashEvent,
    FlashSale,
    FlashSaleItem,
    ItemState,
    SaleState,
    SaleTransition,
)
from sales.models.orders import (
    Address,
    MailKind,
    Order,
    OrderEvent,
    OrderLine,
    OrderMail,
    OrderQuerySet,
    OrderState,
)
from sales.models.payments import Payment, PaymentNotice, PaymentState
from sales.models.ranges import PRICE_RANGE, QUANTITY_RANGE
from sales.models.waiting_list import EntryState, ForgottenLine, WaitingEntry
from sales.models.watching import AuditRun, ClaimAnswer, ClaimCount, Verdict

__all__ = [
    "PRICE_RANGE",
    "QUANTITY_RANGE",
    "Address",
    "ApiToken",
    "AuditRun",
    "Cart",
    "CartLine",
    "ClaimAnswer",
    "ClaimCount",
    "EntryState",
    "FlashAdjustment",
    "FlashEvent",
    "FlashSale",
    "FlashSaleItem",
    "ForgottenLine",
    "ItemState",
    "MailKind",
    "Order",
    "OrderEvent",
    "OrderLine",
    "OrderMail",
    "OrderQuerySet",
    "OrderState",
    "Payment",
    "PaymentNotice",
    "PaymentState",
    "SaleState",
    "SaleTransition",
    "StoredAnswer",
    "Verdict",
    "WaitingEntry",
]
