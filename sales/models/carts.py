"""What shoppers have in mind: carts and their lines."""

import uuid
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Q

from catalog.models import Product
from sales.models.ranges import QUANTITY_RANGE


class Cart(models.Model):
    """A shopper's basket; it promises nothing until checkout."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, db_index=True)

    def __str__(self) -> str:
        return str(self.pk)


class CartLine(models.Model):
    cart = models.ForeignKey(Cart, models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, models.CASCADE, related_name="+")
    quantity = models.PositiveIntegerField(validators=QUANTITY_RANGE)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                name="cart_line_per_product", fields=["cart", "product"]
            ),
            models.CheckConstraint(
                name="cart_quantity_gte_1", condition=Q(quantity__gte=1)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.product}"

    @property
    def can_have(self) -> int:
        """How many of the wanted units could be had now; wants `product__stock`."""
        if not self.product.is_published:
            return 0
        sellable: int = self.product.stock.sellable
        return min(self.quantity, sellable)

    @property
    def is_short(self) -> bool:
        return self.can_have < self.quantity

    @property
    def total(self) -> Decimal:
        return self.product.price * self.quantity
