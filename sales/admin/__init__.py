"""The sales' pages in the dashboard; importing them registers them."""

from sales.admin import audits, events, flash_desk, letters, orders, tokens

__all__ = ["audits", "events", "flash_desk", "letters", "orders", "tokens"]
