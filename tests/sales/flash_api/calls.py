"""Calls to make: a claim, and a sale."""

from datetime import timedelta
from uuid import uuid4

from django.utils import timezone

from tests.api import as_guest


def claim(item, quantity=1, *, api=None, key=None, **fields):
    return (api or as_guest()).post(
        f"/flash-sales/{item.sale_id}/claims",
        {"sku": item.product.sku, "quantity": quantity, **fields},
        key=key or uuid4(),
    )


def sale_body(*products, opens_in=-5, closes_in=600, **fields):
    now = timezone.now()
    item = {"units": "all", "price": "4.50", "limit_per_buyer": 2}
    return {
        "name": "12.12",
        "opens_at": (now + timedelta(seconds=opens_in)).isoformat(),
        "closes_at": (now + timedelta(seconds=closes_in)).isoformat(),
        "items": [{"sku": product.sku, **item, **fields} for product in products],
    }
