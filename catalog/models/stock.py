"""Units of each product, and who waits for them."""

from typing import Self

from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models.products import Product
from catalog.status import StockStatus, status_expression


class StockQuerySet(models.QuerySet["Stock"]):
    def sellable(self, quantity: int = 1) -> Self:
        """Rows that can give up `quantity` units and keep their safety stock."""
        return self.filter(available__gte=F("safety_threshold") + quantity)


class Stock(models.Model):
    """Units of one product: what is there, what is promised, when to worry.

    Only `catalog.stock` and `catalog.thresholds` write here. The generated columns are
    stale after a write until `refresh_from_db()`.
    """

    product = models.OneToOneField(
        Product, models.PROTECT, primary_key=True, related_name="stock"
    )
    on_hand = models.PositiveIntegerField(default=0)
    reserved = models.PositiveIntegerField(default=0)
    allocated = models.PositiveIntegerField(default=0)
    safety_threshold = models.PositiveIntegerField(default=0)
    low_stock_level = models.PositiveIntegerField(default=0)
    inherits_threshold = models.BooleanField(default=True)
    inherits_low_stock_level = models.BooleanField(default=True)
    version = models.PositiveBigIntegerField(default=1)
    available = models.GeneratedField(
        expression=F("on_hand") - F("reserved") - F("allocated"),
        output_field=models.IntegerField(),
        db_persist=True,
    )
    sellable = models.GeneratedField(
        expression=Greatest(
            Value(0),
            F("on_hand") - F("reserved") - F("allocated") - F("safety_threshold"),
        ),
        output_field=models.IntegerField(),
        db_persist=True,
    )
    status = models.GeneratedField(
        expression=status_expression(),
        output_field=models.CharField(max_length=12, choices=StockStatus.choices),
        db_persist=True,
    )
    updated_at = models.DateTimeField(auto_now=True)
    objects = StockQuerySet.as_manager()

    class Meta:
        verbose_name_plural = _("stock")
        constraints = [
            models.CheckConstraint(
                name="promised_lte_on_hand",
                condition=Q(on_hand__gte=F("reserved") + F("allocated")),
            )
        ]
        indexes = [
            models.Index(fields=["status", "product"], name="stock_by_status"),
            models.Index(fields=["sellable", "product"], name="stock_by_sellable"),
            models.Index(
                fields=["product"],
                name="stock_set_aside",
                condition=Q(allocated__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return self.product.name

    @property
    def is_out(self) -> bool:
        return bool(self.status == StockStatus.OUT)

    @property
    def above_threshold(self) -> int:
        """Units a shopper may still hope for in any channel, flash sale included."""
        return max(0, self.on_hand - self.reserved - self.safety_threshold)


class RestockRequest(models.Model):
    """An address that wants one mail when a product is back; gone once it is sent."""

    product = models.ForeignKey(
        Product, models.CASCADE, related_name="restock_requests"
    )
    email = models.EmailField(db_index=True)
    language = models.CharField(max_length=10, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    next_try_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                name="restock_request_once", fields=["product", "email"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.product} for {self.email}"
