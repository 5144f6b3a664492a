"""The catalog's pages in the dashboard; importing them registers them."""

from catalog.admin import alerts, defaults, ledgers, products, stock_desk, webhooks

__all__ = ["alerts", "defaults", "ledgers", "products", "stock_desk", "webhooks"]
