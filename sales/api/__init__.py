"""/api/v1 for accounts, carts, orders and payments; importing it adds the calls."""

from sales.api import account_calls, cart_calls, order_calls, payment_calls
from sales.api.routes import router

__all__ = ["account_calls", "cart_calls", "order_calls", "payment_calls", "router"]
