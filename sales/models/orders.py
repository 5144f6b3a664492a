"""Orders with their lines, steps and mails; the address book."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Self

from django.conf import settings
from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models import Product
from sales.models.flash_sales import FlashSaleItem
from sales.models.ranges import PRICE_RANGE, QUANTITY_RANGE, TOTAL_DIGITS


def number_of(order_id: uuid.UUID) -> str:
    """The short form of an order's id that people read to each other."""
    return str(order_id)[:8].upper()


class OrderState(models.TextChoices):
    HELD = "held", _("Held")
    PAYING = "paying", _("Paying")
    PAID = "paid", _("Paid")
    REFUNDED = "refunded", _("Refunded")
    EXPIRED = "expired", _("Expired")
    CANCELLED = "cancelled", _("Cancelled")


class OrderQuerySet(models.QuerySet["Order"]):
    def due(self, now: datetime) -> Self:
        """Unpaid orders whose hold has ended."""
        return self.filter(state=OrderState.HELD, expires_at__lte=now)

    def beginning(self, text: str) -> Self:
        """Orders whose number or e-mail address begins so; indexes find both."""
        number = text.replace("-", "").lower()
        found = Q(email__istartswith=text) & ~Q(email="")
        if 0 < len(number) <= 32 and all(c in "0123456789abcdef" for c in number):
            first, last = number.ljust(32, "0"), number.ljust(32, "f")
            found |= Q(pk__range=(uuid.UUID(first), uuid.UUID(last)))
        return self.filter(found)


class Order(models.Model):
    """What somebody was promised; its id was chosen by the client, safe to repeat.

    A regular order's state is decided here. A flash order (with `flash_item`) follows
    the claim `claim_id` in Redis, and only the drain writes its state. The two ids are
    the same, unless a client used the id of another order a second time.
    """

    State = OrderState
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(
        max_length=12, choices=OrderState.choices, default=OrderState.HELD
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="orders",
    )
    email = models.EmailField(blank=True)
    full_name = models.CharField(max_length=120, blank=True)
    address = models.CharField(max_length=200, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    city = models.CharField(max_length=100, blank=True)
    country = models.CharField(max_length=2, blank=True)
    language = models.CharField(
        max_length=10, blank=True, help_text=_("What the shopper reads mails in.")
    )
    total = models.DecimalField(
        max_digits=TOTAL_DIGITS, decimal_places=2, default=Decimal(0)
    )
    currency = models.CharField(max_length=3, default=settings.SHOP_CURRENCY)
    flash_item = models.ForeignKey(
        FlashSaleItem, models.PROTECT, null=True, blank=True, related_name="orders"
    )
    buyer = models.CharField(max_length=80, blank=True)
    claim_id = models.UUIDField(null=True, blank=True, editable=False)
    claim_seq = models.PositiveBigIntegerField(null=True, blank=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)
    paid_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    objects = OrderQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                name="order_per_claim", fields=["flash_item", "claim_id"]
            )
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                name="order_due",
                condition=Q(state=OrderState.HELD),
            ),
            models.Index(
                fields=["flash_item", "buyer", "-created_at"], name="order_by_buyer"
            ),
            models.Index(fields=["-created_at", "-id"], name="order_by_age"),
            models.Index(fields=["user", "-created_at"], name="order_by_user"),
            models.Index(fields=["state", "-created_at"], name="order_by_state"),
            models.Index(
                OpClass(Upper("email"), "text_pattern_ops"),  # istartswith asks for it
                name="order_by_email",
                condition=~Q(email=""),
            ),
        ]

    def __str__(self) -> str:
        return self.number

    def get_absolute_url(self) -> str:
        return reverse("sales:order", args=[self.pk])

    @property
    def is_flash(self) -> bool:
        return self.flash_item_id is not None

    @property
    def is_open(self) -> bool:
        """Whether payment may still happen."""
        return self.state in (OrderState.HELD, OrderState.PAYING)

    @property
    def number(self) -> str:
        """The short form people read to each other."""
        return number_of(self.pk)


class OrderLine(models.Model):
    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, models.PROTECT, related_name="+")
    sku = models.CharField(max_length=80)
    name = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField(validators=QUANTITY_RANGE)
    price = models.DecimalField(max_digits=9, decimal_places=2, validators=PRICE_RANGE)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                name="order_line_per_product", fields=["order", "product"]
            ),
            models.CheckConstraint(
                name="order_quantity_gte_1", condition=Q(quantity__gte=1)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}"

    @property
    def total(self) -> Decimal:
        return self.price * self.quantity


class OrderEvent(models.Model):
    """One step of an order's life, for its timeline."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="events")
    state = models.CharField(max_length=12, choices=OrderState.choices)
    note = models.CharField(max_length=200, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{number_of(self.order_id)}: {self.get_state_display()}"


class MailKind(models.TextChoices):
    PAID = "paid", _("Confirmation")
    EXPIRED = "expired", _("Hold ended")
    REFUNDED = "refunded", _("Refund")
    SENT_BACK = "sent_back", _("Late payment sent back")
    OFFER = "offer", _("Offer from the waiting list")


class OrderMail(models.Model):
    """A mail to a shopper, written in the transaction of what it tells of.

    `next_try_at` is empty once it is sent, or given up after too many failures.
    """

    Kind = MailKind
    order = models.ForeignKey(Order, models.CASCADE, related_name="mails")
    kind = models.CharField(max_length=12, choices=MailKind.choices)
    created_at = models.DateTimeField(default=timezone.now)
    next_try_at = models.DateTimeField(default=timezone.now, null=True)
    attempts = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("e-mail")
        ordering = ["pk"]
        indexes = [
            models.Index(
                fields=["next_try_at"],
                name="order_mail_to_send",
                condition=Q(next_try_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of order {number_of(self.order_id)}"


class Address(models.Model):
    """A place in an account's address book; orders keep a copy of their own."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="addresses"
    )
    full_name = models.CharField(max_length=120)
    address = models.CharField(max_length=200)
    postal_code = models.CharField(max_length=20)
    city = models.CharField(max_length=100)
    country = models.CharField(max_length=2)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = _("addresses")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["user", "-id"], name="address_by_user")]

    def __str__(self) -> str:
        return f"{self.full_name}, {self.address}, {self.city}"
