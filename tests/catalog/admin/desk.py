"""What a browser asks for and sends in the dashboard."""

from django.urls import reverse

from catalog import desk_edits

DESK = "/admin/catalog/stock/"


def page(product, action="change"):
    return reverse(f"admin:catalog_stock_{action}", args=[product.pk])


FIGURES = ("on_hand", "safety_threshold", "low_stock_level")


def desk_post(rows, typed):
    """What the browser sends for the desk; `typed` by product, with what it chose."""
    data = {"row": [product.pk for product in rows], "_save": "1"}
    for product in rows:
        data[f"{product.pk}-version"] = product.stock.version
        for name in FIGURES:
            text = desk_edits.text_of(product.stock, name)
            data[f"{product.pk}-{name}_shown"] = text
            data[f"{product.pk}-{name}"] = text
        for name, text in typed.get(product, {}).items():
            data[f"{product.pk}-{name}"] = text
    return data


def bulk_post(products, **typed):
    return {
        "action": "change_levels",
        "index": "0",
        "_selected_action": [product.pk for product in products],
        **typed,
    }


RULE = {
    "field": "safety_threshold",
    "operation": "set",
    "number": "5",
    "reason": "winter",
}


def product_data(**fields):
    return {
        "name": "Watering can",
        "sku": "CAN",
        "slug": "watering-can",
        "handle": "watering-can",
        "price": "19.90",
        "is_published": "on",
        "on_hand": "12",
        "safety_threshold": "",
        "low_stock_level": "",
        "pictures-TOTAL_FORMS": 0,
        "pictures-INITIAL_FORMS": 0,
        **fields,
    }
