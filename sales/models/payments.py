"""Attempts to pay, and what the providers said of them."""

import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sales.models.orders import Order, number_of
from sales.models.ranges import TOTAL_DIGITS


class PaymentState(models.TextChoices):
    PENDING = "pending", _("Pending")
    PAID = "paid", _("Paid")
    DECLINED = "declined", _("Declined")
    REFUNDED = "refunded", _("Refunded")


class PaymentQuerySet(models.QuerySet["Payment"]):
    def owed(self) -> Self:
        """Payments whose money is to go back and has not gone yet."""
        return self.filter(state=PaymentState.REFUNDED, handled_at=None)

    def due(self, now: datetime) -> Self:
        """Those that may be sent back now: new ones, and when their wait is over."""
        return self.owed().filter(Q(next_try_at=None) | Q(next_try_at__lte=now))


class Payment(models.Model):
    """One attempt to pay an order at a provider; its id is the provider's reference.

    An order has at most one pending payment, so two clicks on "pay" share it. A refund
    that the provider did not take has `attempts`, an `error` and its `next_try_at`.
    """

    State = PaymentState
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="payments")
    gateway = models.CharField(max_length=20)
    state = models.CharField(
        max_length=12, choices=PaymentState.choices, default=PaymentState.PENDING
    )
    amount = models.DecimalField(max_digits=TOTAL_DIGITS, decimal_places=2)
    currency = models.CharField(max_length=3)
    reference = models.CharField(max_length=200, blank=True)
    note = models.CharField(max_length=200, blank=True)
    handled_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the order followed the outcome.")
    )
    attempts = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    objects = PaymentQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                name="one_pending_payment_per_order",
                fields=["order"],
                condition=Q(state=PaymentState.PENDING),
            )
        ]
        indexes = [
            models.Index(
                fields=["created_at"],
                name="payment_to_handle",
                condition=Q(handled_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} for order {number_of(self.order_id)}"


class PaymentNotice(models.Model):
    """What a payment provider told us, stored before anything follows from it."""

    gateway = models.CharField(max_length=20)
    event_id = models.CharField(max_length=200)
    payment = models.ForeignKey(
        Payment, models.PROTECT, null=True, related_name="notices"
    )
    outcome = models.CharField(max_length=20, blank=True)
    amount = models.DecimalField(max_digits=TOTAL_DIGITS, decimal_places=2, null=True)
    currency = models.CharField(max_length=3, blank=True)
    reference = models.CharField(max_length=200, blank=True)
    body = models.TextField(blank=True, help_text=_("As it came."))
    received_at = models.DateTimeField(default=timezone.now)
    handled_at = models.DateTimeField(null=True)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                name="notice_per_event", fields=["gateway", "event_id"]
            )
        ]
        indexes = [
            models.Index(
                fields=["received_at"],
                name="notice_to_handle",
                condition=Q(handled_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.gateway}: {self.event_id}"
