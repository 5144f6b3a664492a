"""Flash sales, their items, and the ledger of what Redis decided."""

import uuid
from datetime import datetime

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from catalog.models import Product
from sales.models.ranges import PRICE_RANGE, QUANTITY_RANGE


class SaleState(models.TextChoices):
    DRAFT = "draft", _("Draft")
    SCHEDULED = "scheduled", _("Scheduled")
    LOADED = "loaded", _("Loaded")
    LIVE = "live", _("Live")
    PAUSED = "paused", _("Paused")
    ENDED = "ended", _("Ended")
    SETTLED = "settled", _("Settled")
    CANCELLED = "cancelled", _("Cancelled")


class FlashSale(models.Model):
    """Products sold in limited number, at a price, in the interval [opens, closes)."""

    State = SaleState
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=140, unique=True)
    opens_at = models.DateTimeField()
    closes_at = models.DateTimeField()
    state = models.CharField(
        max_length=12, choices=SaleState.choices, default=SaleState.DRAFT
    )
    has_waiting_room = models.BooleanField(
        _("waiting room"),
        default=False,
        help_text=_("Let shoppers in one after the other, as fast as there are units."),
    )
    created_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["-opens_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                name="sale_closes_after_opening",
                condition=Q(closes_at__gt=F("opens_at")),
            )
        ]
        indexes = [models.Index(fields=["state", "opens_at"], name="sale_by_state")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("sales:flash-sale", args=[self.slug])

    def is_open(self, now: datetime | None = None) -> bool:
        """Whether the window is open; what the counters say comes on top."""
        return self.opens_at <= (now or timezone.now()) < self.closes_at


class ItemState(models.TextChoices):
    WAITING = "waiting", _("Not loaded")
    LOADED = "loaded", _("Loaded")
    PAUSED = "paused", _("Paused")
    FROZEN = "frozen", _("Frozen")
    RECOVERING = "recovering", _("Recovering")
    SETTLED = "settled", _("Settled")


class FlashSaleItem(models.Model):
    """One product of a flash sale, with the mirror of its live counters.

    `epoch` names one life of the counters in Redis and only grows. `last_seq` is the
    last event that is in PostgreSQL; it commits together with what the event did.
    """

    State = ItemState
    STOPPED = (ItemState.PAUSED, ItemState.FROZEN, ItemState.RECOVERING)
    sale = models.ForeignKey(FlashSale, models.CASCADE, related_name="items")
    product = models.ForeignKey(Product, models.PROTECT, related_name="flash_items")
    price = models.DecimalField(max_digits=9, decimal_places=2, validators=PRICE_RANGE)
    requested_units = models.PositiveIntegerField(
        _("units"),
        null=True,
        blank=True,
        validators=QUANTITY_RANGE,
        help_text=_("Empty: all units available at preload."),
    )
    limit_per_buyer = models.PositiveIntegerField(
        default=1, validators=QUANTITY_RANGE, help_text=_("Units in the whole sale.")
    )
    opens_at = models.DateTimeField(editable=False)
    closes_at = models.DateTimeField(editable=False)
    state = models.CharField(
        max_length=12,
        choices=ItemState.choices,
        default=ItemState.WAITING,
        editable=False,
    )
    epoch = models.PositiveIntegerField(default=0, editable=False)
    last_seq = models.PositiveBigIntegerField(default=0, editable=False)
    units = models.PositiveIntegerField(default=0, editable=False)
    left = models.PositiveIntegerField(default=0, editable=False)
    floor = models.PositiveIntegerField(default=0, editable=False)
    held = models.PositiveIntegerField(default=0, editable=False)
    paying = models.PositiveIntegerField(default=0, editable=False)
    paid = models.PositiveIntegerField(default=0, editable=False)
    released = models.PositiveIntegerField(default=0, editable=False)
    poison_events = models.PositiveIntegerField(default=0, editable=False)
    doubt = models.CharField(max_length=200, blank=True, editable=False)
    has_keys = models.BooleanField(
        default=False, editable=False, help_text=_("Redis may hold keys of this item.")
    )
    loaded_at = models.DateTimeField(null=True, editable=False)
    settled_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                name="item_per_product", fields=["sale", "product"]
            ),
            models.CheckConstraint(
                name="flash_promised_lte_units",
                condition=Q(units__gte=F("held") + F("paying") + F("paid")),
            ),
            ExclusionConstraint(
                name="one_sale_per_product_at_a_time",
                expressions=[
                    (
                        Func(
                            F("product"),
                            F("product"),
                            Value("[]"),
                            function="int8range",
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                    (
                        Func(
                            F("opens_at"),
                            F("closes_at"),
                            Value("[)"),
                            function="tstzrange",
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=~Q(state=ItemState.SETTLED),
            ),
        ]
        indexes = [models.Index(fields=["state", "id"], name="item_by_state")]

    def __str__(self) -> str:
        return f"{self.product} in {self.sale}"

    @property
    def is_loaded(self) -> bool:
        """Whether its counters should exist in Redis."""
        return self.state not in (ItemState.WAITING, ItemState.SETTLED)

    @property
    def is_stopped(self) -> bool:
        """Whether nobody can buy it because its numbers are in doubt."""
        return self.state in self.STOPPED


class SaleTransition(models.Model):
    """One step in the life of a flash sale: from, to, by whom, when."""

    sale = models.ForeignKey(FlashSale, models.CASCADE, related_name="transitions")
    item = models.ForeignKey(FlashSaleItem, models.CASCADE, null=True)
    from_state = models.CharField(max_length=12)
    to_state = models.CharField(max_length=12)
    note = models.CharField(max_length=200, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.from_state} to {self.to_state}"


class FlashEvent(models.Model):
    """One event of an item's ledger stream, as Redis wrote it.

    Folding an item's events in order gives its orders and counters. An event that
    cannot be folded is kept with `is_poison` and changes nothing.
    """

    item = models.ForeignKey(FlashSaleItem, models.PROTECT, related_name="events")
    seq = models.PositiveBigIntegerField()
    epoch = models.PositiveIntegerField()
    kind = models.CharField(max_length=12)
    order_id = models.UUIDField(null=True)
    buyer = models.CharField(max_length=80, blank=True)
    quantity = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(null=True)
    at = models.DateTimeField()
    details = models.JSONField(default=dict)
    is_poison = models.BooleanField(default=False)

    class Meta:
        ordering = ["item", "seq"]
        constraints = [
            models.UniqueConstraint(name="event_per_seq", fields=["item", "seq"])
        ]
        indexes = [models.Index(fields=["order_id"], name="event_by_order")]

    def __str__(self) -> str:
        return f"Event {self.seq}: {self.kind}"


class FlashAdjustment(models.Model):
    """A change of a running item for Redis to take over, once; its id says which."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    item = models.ForeignKey(FlashSaleItem, models.PROTECT, related_name="adjustments")
    units_delta = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=9, decimal_places=2, null=True)
    reason = models.CharField(max_length=200, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    applied_seq = models.PositiveBigIntegerField(null=True)
    refused_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at"]
        indexes = [
            models.Index(
                fields=["item"],
                name="adjustment_to_apply",
                condition=Q(applied_seq__isnull=True, refused_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        if self.units_delta:
            return f"{self.units_delta:+d} units"
        return f"price {self.price}"
