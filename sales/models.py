"""Carts, orders, payments, and flash sales with their event ledger."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Func, Q, Value
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from catalog.models import Product

PRICE_RANGE = [MinValueValidator(0), MaxValueValidator(settings.SHOP_MAX_PRICE)]
QUANTITY_RANGE = [MinValueValidator(1), MaxValueValidator(settings.SHOP_MAX_QUANTITY)]


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
        return f"{self.quantity} x {self.product_id}"

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
        return f"{self.product_id} in {self.sale_id}"

    @property
    def is_loaded(self) -> bool:
        """Whether its counters should exist in Redis."""
        return self.state not in (ItemState.WAITING, ItemState.SETTLED)


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
    total = models.DecimalField(max_digits=12, decimal_places=2, default=Decimal(0))
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
        ]

    def __str__(self) -> str:
        return str(self.pk)

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
        return str(self.pk)[:8].upper()


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
        return f"{self.order_id}: {self.state}"


class MailKind(models.TextChoices):
    PAID = "paid", _("Confirmation")
    EXPIRED = "expired", _("Hold ended")
    REFUNDED = "refunded", _("Refund")
    SENT_BACK = "sent_back", _("Late payment sent back")


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
        ordering = ["pk"]
        indexes = [
            models.Index(
                fields=["next_try_at"],
                name="order_mail_to_send",
                condition=Q(next_try_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.order_id}"


class PaymentState(models.TextChoices):
    PENDING = "pending", _("Pending")
    PAID = "paid", _("Paid")
    DECLINED = "declined", _("Declined")
    REFUNDED = "refunded", _("Refunded")


class Payment(models.Model):
    """One attempt to pay an order at a provider; its id is the provider's reference.

    An order has at most one pending payment, so two clicks on "pay" share it.
    """

    State = PaymentState
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="payments")
    gateway = models.CharField(max_length=20)
    state = models.CharField(
        max_length=12, choices=PaymentState.choices, default=PaymentState.PENDING
    )
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3)
    reference = models.CharField(max_length=200, blank=True)
    note = models.CharField(max_length=200, blank=True)
    handled_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the order followed the outcome.")
    )
    created_at = models.DateTimeField(default=timezone.now)

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
        return str(self.pk)


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
        return f"{self.item_id} #{self.seq} {self.kind}"


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
        return str(self.pk)


class ApiToken(models.Model):
    """A key to the JSON API; only its digest is kept, so it is shown once."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens"
    )
    name = models.CharField(max_length=80, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(
        max_length=12, editable=False, help_text=_("How the token begins.")
    )
    scopes = models.JSONField(
        null=True,
        blank=True,
        help_text=_("Permissions it may use; null: all its user has."),
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("API token")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.hint}..."

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at


class StoredAnswer(models.Model):
    """The first answer to a request with an Idempotency-Key, for repeats of it.

    The row is written in the transaction of what the request did. The key is kept as a
    digest, and the answer can be read only with the key.
    """

    digest = models.CharField(max_length=64, primary_key=True)
    request_digest = models.CharField(max_length=64)
    answer = models.BinaryField(default=bytes)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.digest[:12]


class PaymentNotice(models.Model):
    """What a payment provider told us, stored before anything follows from it."""

    gateway = models.CharField(max_length=20)
    event_id = models.CharField(max_length=200)
    payment = models.ForeignKey(
        Payment, models.PROTECT, null=True, related_name="notices"
    )
    outcome = models.CharField(max_length=20, blank=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2, null=True)
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


class Verdict(models.TextChoices):
    HOLDS = "holds", _("Everything holds")
    DRIFT = "drift", _("Drift")
    UNKNOWN = "unknown", _("Not everything could be checked")


class AuditRun(models.Model):
    """What one run of the audit found; `result` is the report as plain values."""

    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    is_deep = models.BooleanField(default=True)
    result = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.created_at}: {self.verdict}"

    @property
    def violations(self) -> list[dict[str, Any]]:
        """The findings that do not hold."""
        return [f for f in self.result["findings"] if f["holds"] is False]


class ClaimAnswer(models.TextChoices):
    """What a claim was told: that it has its units, or why not."""

    ADMITTED = "admitted", _("Admitted")
    SOLD_OUT = "sold_out", _("Sold out")
    ALL_HELD = "all_held", _("All held by others")
    LIMIT_REACHED = "limit_reached", _("Over the limit per buyer")
    NOT_STARTED = "not_started", _("Too early")
    ENDED = "ended", _("Too late")
    PAUSED = "paused", _("Sale paused")
    CONFLICT = "conflict", _("Order id used twice")
    NOT_LOADED = "not_loaded", _("Counters not verified")
    UNSURE = "unsure", _("Answer lost on the way")


class ClaimCount(models.Model):
    """How many claims for an item got one answer in one minute, and what they wanted.

    Counted for people who look; nothing is decided by it.
    """

    Answer = ClaimAnswer
    item = models.ForeignKey(FlashSaleItem, models.CASCADE, related_name="claim_counts")
    minute = models.DateTimeField()
    answer = models.CharField(max_length=16, choices=ClaimAnswer.choices)
    claims = models.PositiveIntegerField()
    units = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["item", "minute", "answer"]
        constraints = [
            models.UniqueConstraint(
                name="count_per_minute", fields=["item", "minute", "answer"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.item_id} {self.answer}: {self.claims}"
