"""`make_*`: rows for tests; every field has a default, name only what matters."""

import time
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from itertools import count
from uuid import uuid4

from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone
from django.utils.text import slugify

from catalog import stock
from catalog.models import Category, Product
from sales import counters, flash, orders
from sales.models import FlashSale, FlashSaleItem

_serial = count(1)


def make_category(name="Garden", *, parent=None, **fields):
    fields.setdefault("slug", f"{slugify(name)}-{next(_serial)}")
    return Category.objects.create(name=name, parent=parent, **fields)


def make_product(
    name="Clay pot",
    *,
    on_hand=10,
    safety_threshold=0,
    low_stock_level=0,
    inherits_threshold=False,
    inherits_low_stock_level=False,
    **fields,
):
    """A product with its stock; `.stock` is fresh."""
    serial = next(_serial)
    fields.setdefault("sku", f"SKU-{serial}")
    fields.setdefault("slug", f"{slugify(name)}-{serial}")
    fields.setdefault("handle", slugify(name))
    fields.setdefault("price", Decimal("9.99"))
    product = Product.objects.create(name=name, **fields)
    stock.open_stock(
        product,
        on_hand=on_hand,
        safety_threshold=safety_threshold,
        low_stock_level=low_stock_level,
        inherits_threshold=inherits_threshold,
        inherits_low_stock_level=inherits_low_stock_level,
        note=stock.Note(cause="test"),
    )
    product.refresh_from_db()
    return product


def make_sale(name="Night sale", *, opens_in=-60, closes_in=3600, **fields):
    """A draft flash sale without items; times in seconds from now."""
    now = timezone.now()
    fields.setdefault("slug", f"{slugify(name)}-{next(_serial)}")
    return FlashSale.objects.create(
        name=name,
        opens_at=now + timedelta(seconds=opens_in),
        closes_at=now + timedelta(seconds=closes_in),
        **fields,
    )


def make_item(*, product=None, sale=None, units=None, limit=10, price=None, **fields):
    """An item of a scheduled flash sale that is open now, not loaded yet."""
    sale = sale or make_sale(state=FlashSale.State.SCHEDULED)
    product = product or make_product()
    return FlashSaleItem.objects.create(
        sale=sale,
        product=product,
        price=price or Decimal("5.00"),
        requested_units=units,
        limit_per_buyer=limit,
        opens_at=sale.opens_at,
        closes_at=sale.closes_at,
        **fields,
    )


def make_loaded_item(**fields):
    """An item whose units are allocated and whose counters are in Redis."""
    item = make_item(**fields)
    (outcome,) = [o for o in flash.preload(item.sale_id) if o.item_id == item.pk]
    assert not outcome.error, outcome
    item.refresh_from_db()
    return item


def make_roomy_item(*, opens_in=-60, **fields):
    """A loaded item of a sale with a waiting room."""
    sale = make_sale(state="scheduled", opens_in=opens_in, has_waiting_room=True)
    return make_loaded_item(sale=sale, **fields)


def make_order(product=None, *, quantity=1, email="shopper@example.org", user=None):
    """A regular order that holds its units; a second one has another id."""
    product = product or make_product()
    contact = orders.Contact(email=email, full_name="Sam Shopper")
    return orders.place(uuid4(), [(product.pk, quantity)], contact=contact, user=user)


def make_staff(role):
    """Somebody with one of the dashboard's roles."""
    if not Group.objects.filter(name=role).exists():  # flushed by another test
        import_module("shop.migrations.0001_roles").make_roles(apps, None)
        import_module("shop.migrations.0002_letters").let_roles_look(apps, None)
        import_module("shop.migrations.0003_flash_events").let_roles_look(apps, None)
    address = f"staff-{next(_serial)}@example.org"
    user = User.objects.create_user(address, address, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return user


def make_user(email="", *, permissions=(), **fields):
    """An account; with `permissions` ("app.codename") it is staff that has them."""
    email = email or f"user-{next(_serial)}@example.com"
    user = User.objects.create(
        username=email, email=email, is_staff=bool(permissions), **fields
    )
    for name in permissions:
        app, codename = name.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return user


def make_counters(item_id=1, *, opens_in=-60, closes_in=3600, hold=600, **fields):
    """Counters of an item in Redis alone, open now; times in seconds from now."""
    now = int(time.time() * 1000)
    numbers = {
        "epoch": 1,
        "state": "open",
        "units": 10,
        "left": fields.get("units", 10),
        "floor": 0,
        "limit": 10,
        "opens_at": now + opens_in * 1000,
        "closes_at": now + closes_in * 1000,
        "hold_ms": hold * 1000,
        "seq": 0,
        "held": 0,
        "paying": 0,
        "paid": 0,
        "released": 0,
    }
    counters.preload(item_id, counters.Snapshot(**{**numbers, **fields}))
    return counters.snapshot(item_id)
