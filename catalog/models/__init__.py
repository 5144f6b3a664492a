"""Products, their stock, and the two ledgers that explain every number."""

from catalog.models.alerts import Alert, AlertKind, AlertMail, AlertRule
from catalog.models.desk import DeskDefault, DeskView
from catalog.models.import_runs import ImportRun
from catalog.models.ledgers import StatusChange, StockMovement, ThresholdChange
from catalog.models.pictures import ProductPicture
from catalog.models.products import Category, Product, ProductQuerySet, Store
from catalog.models.ranges import QUANTITY_LIMIT
from catalog.models.stock import RestockRequest, Stock, StockQuerySet
from catalog.models.webhooks import (
    OutboxEvent,
    WebhookDelivery,
    WebhookEndpoint,
    new_secret,
)

__all__ = [
    "QUANTITY_LIMIT",
    "Alert",
    "AlertKind",
    "AlertMail",
    "AlertRule",
    "Category",
    "DeskDefault",
    "DeskView",
    "ImportRun",
    "OutboxEvent",
    "Product",
    "ProductPicture",
    "ProductQuerySet",
    "RestockRequest",
    "StatusChange",
    "Stock",
    "StockMovement",
    "StockQuerySet",
    "Store",
    "ThresholdChange",
    "WebhookDelivery",
    "WebhookEndpoint",
    "new_secret",
]
