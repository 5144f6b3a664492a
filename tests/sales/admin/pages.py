"""Where the dashboard's pages are, and what their forms send."""

from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

SALES = "/admin/sales/flashsale/"
HTMX = {"HX-Request": "true"}


def sale_page(sale, action="change"):
    return reverse(f"admin:sales_flashsale_{action}", args=[sale.pk])


def order_page(order, action="change"):
    return reverse(f"admin:sales_order_{action}", args=[order.pk])


def sale_data(*items, opens_at=None, hours=2, initial=0, **fields):
    """What the form of a sale sends; each item is a dictionary."""
    opens_at = opens_at or timezone.now() + timedelta(days=1)
    closes_at = opens_at + timedelta(hours=hours)
    data = {
        "name": "Night sale",
        "slug": "night-sale",
        "opens_at_0": f"{opens_at:%Y-%m-%d}",
        "opens_at_1": f"{opens_at:%H:%M:%S}",
        "closes_at_0": f"{closes_at:%Y-%m-%d}",
        "closes_at_1": f"{closes_at:%H:%M:%S}",
        "items-TOTAL_FORMS": len(items),
        "items-INITIAL_FORMS": initial,
        **fields,
    }
    for index, item in enumerate(items):
        defaults = {"requested_units": "", "price": "5.00", "limit_per_buyer": 1}
        for name, value in (defaults | item).items():
            data[f"items-{index}-{name}"] = value
    return data
