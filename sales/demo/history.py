"""Two weeks of trade in the demo shop: deliveries, counts and orders.

Everything goes through the services a real shop uses and gets its date afterwards.
"""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.db import connection, transaction
from django.db.models import F

from catalog import alerts, stock
from catalog.models import (
    Alert,
    AlertKind,
    AlertRule,
    Product,
    StatusChange,
    StockMovement,
)
from sales import checkout, orders
from sales.demo import people
from sales.models import Order, OrderEvent, OrderMail, OrderState, Payment

if TYPE_CHECKING:
    from django.contrib.auth.models import User

FILE = Path(__file__).parent / "history.toml"
OPENED = timedelta(days=14)
UNSEEN = timedelta(days=2)  # younger alerts are still to be looked at
LEDGER = "stock_movement_append_only"


def tell(
    products: Mapping[str, Product], *, now: datetime, actor: "User | None" = None
) -> int:
    """Let the steps of history.toml happen, oldest first; return how many."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    ages = {"demo": OPENED}
    for number, step in enumerate(data["steps"]):
        note = stock.Note(cause=f"demo:{number}", actor=actor)
        age = timedelta(days=step["day"])
        if "order" in step:
            order = _order(step["order"], products)
            _age_order(order, age)
            ages[f"order:{order.pk}"] = age
        else:
            _book(step, products, note)
            ages[note.cause] = age
    _expire(now)
    OrderMail.objects.all().delete()  # told long ago
    alerts.read_status_changes()
    _age_ledger(ages)
    old = Alert.objects.filter(created_at__lt=now - UNSEEN)
    old.update(seen_at=F("created_at") + timedelta(hours=1), seen_by=actor)
    return len(data["steps"])


def watch(emails: str) -> None:
    """Have somebody told of products that are out, and once a day of low ones."""
    AlertRule.objects.bulk_create(
        AlertRule(kind=kind, emails=emails, is_digest=kind == AlertKind.LOW)
        for kind in (AlertKind.OUT, AlertKind.LOW, AlertKind.SOLD_OUT)
    )


def _book(
    step: dict[str, Any], products: Mapping[str, Product], note: stock.Note
) -> None:
    """Receive a delivery, or correct a count."""
    row = step.get("delivery") or step["count"]
    note = stock.Note(note.cause, row["reason"], note.actor)
    product = products[row["sku"]]
    if "delivery" in step:
        stock.receive(product.pk, row["units"], note=note)
    else:
        on_hand = product.stock.on_hand + row["by"]
        stock.adjust(product.pk, on_hand=on_hand, note=note)


def _order(row: dict[str, Any], products: Mapping[str, Product]) -> Order:
    """Place an order and take it to its end."""
    contact = people.CONTACTS[row["by"]]
    order = orders.place(
        uuid4(),
        [(products[sku].pk, units) for sku, units in row["lines"].items()],
        contact=contact,
        user=people.find(contact.email),
    )
    if row["ends"] in ("paid", "refunded"):
        payment = checkout.begin_payment(order.pk)
        checkout.finish(payment.pk, "paid")
    if row["ends"] == "refunded":
        checkout.refund(order.pk, restock=True, note="Sent back unopened")
    if row["ends"] == "cancelled":
        checkout.cancel(order.pk)
    return order


def _age_order(order: Order, age: timedelta) -> None:
    """Move an order, its timeline and its payments back in time."""
    Order.objects.filter(pk=order.pk).update(
        **_back(age, ["created_at", "expires_at", "paid_at", "closed_at"])
    )
    OrderEvent.objects.filter(order=order).update(**_back(age, ["created_at"]))
    Payment.objects.filter(order=order).update(
        **_back(age, ["created_at", "handled_at"])
    )


def _expire(now: datetime) -> None:
    """Release what nobody paid, as of the time the hold ended."""
    orders.expire_due(now)
    for order in Order.objects.filter(state=OrderState.EXPIRED):
        OrderEvent.objects.filter(order=order, state=order.state).update(
            created_at=order.expires_at
        )
        Order.objects.filter(pk=order.pk).update(closed_at=order.expires_at)


def _back(age: timedelta, fields: Iterable[str]) -> dict[str, Any]:
    return {field: F(field) - age for field in fields}


@transaction.atomic
def _age_ledger(ages: Mapping[str, timedelta]) -> None:
    """Date the ledger rows of the story, by their cause.

    The ledger refuses every UPDATE; its trigger is off for this one transaction, which
    only the owner of the tables can do, and only the demo does.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE catalog_stockmovement DISABLE TRIGGER {LEDGER}")
        for cause, age in ages.items():
            for model in (StockMovement, StatusChange, Alert):
                rows = model.objects.filter(cause=cause)
                rows.update(created_at=F("created_at") - age)
        cursor.execute(f"ALTER TABLE catalog_stockmovement ENABLE TRIGGER {LEDGER}")
