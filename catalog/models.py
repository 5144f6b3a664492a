"""Products, their stock, and the two ledgers that explain every number."""

import secrets
import uuid
from typing import Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Greatest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from catalog.status import StockStatus, status_expression

QUANTITY_LIMIT = MaxValueValidator(settings.SHOP_MAX_QUANTITY)


class Store(models.Model):
    """The store's own defaults; there is exactly one row, with primary key 1."""

    safety_threshold = models.PositiveIntegerField(
        default=0,
        validators=[QUANTITY_LIMIT],
        help_text=_("Units never sold, unless a category or product says otherwise."),
    )
    low_stock_level = models.PositiveIntegerField(
        default=5,
        validators=[QUANTITY_LIMIT],
        help_text=_("Sellable units at or below which a product counts as low."),
    )
    history = HistoricalRecords()

    class Meta:
        verbose_name = _("store defaults")
        verbose_name_plural = _("store defaults")
        constraints = [
            models.CheckConstraint(name="store_is_single", condition=Q(pk=1))
        ]

    def __str__(self) -> str:
        return settings.SHOP_NAME


class Category(models.Model):
    """A shelf of the shop; an empty threshold comes from the parent, then the store."""

    parent = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="children"
    )
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=140, unique=True)
    position = models.PositiveIntegerField(default=0)
    safety_threshold = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[QUANTITY_LIMIT],
        help_text=_("Empty: taken from the parent category, else the store."),
    )
    low_stock_level = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[QUANTITY_LIMIT],
        help_text=_("Empty: taken from the parent category, else the store."),
    )
    history = HistoricalRecords()

    class Meta:
        verbose_name_plural = _("categories")
        ordering = ["position", "name", "pk"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("catalog:category", args=[self.slug])


class ProductQuerySet(models.QuerySet["Product"]):
    def published(self) -> Self:
        return self.filter(is_published=True)

    def with_status(self, status: str) -> Self:
        return self.filter(stock__status=status)


class Product(models.Model):
    """One thing that can be bought: a variant with its own SKU and price."""

    sku = models.CharField(_("SKU"), max_length=80, unique=True)
    handle = models.SlugField(
        max_length=160, db_index=True, help_text=_("Variants of one product share it.")
    )
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=220, unique=True)
    description = models.TextField(blank=True)
    vendor = models.CharField(max_length=120, blank=True)
    category = models.ForeignKey(
        Category, models.PROTECT, null=True, blank=True, related_name="products"
    )
    price = models.DecimalField(
        max_digits=9,
        decimal_places=2,
        validators=[MinValueValidator(0), MaxValueValidator(settings.SHOP_MAX_PRICE)],
    )
    compare_at_price = models.DecimalField(
        max_digits=9,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(settings.SHOP_MAX_PRICE)],
        help_text=_("The former price, shown crossed out."),
    )
    picture = models.FileField(upload_to="products/", blank=True)
    is_published = models.BooleanField(default=True)
    search = models.GeneratedField(
        expression=SearchVector("name", weight="A", config="simple")
        + SearchVector("sku", weight="A", config="simple")
        + SearchVector("vendor", weight="B", config="simple")
        + SearchVector("description", weight="C", config="simple"),
        output_field=SearchVectorField(),
        db_persist=True,
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    objects = ProductQuerySet.as_manager()
    history = HistoricalRecords(excluded_fields=["search"])

    class Meta:
        ordering = ["name", "pk"]
        indexes = [
            GinIndex(fields=["search"], name="product_search"),
            models.Index(fields=["name", "id"], name="product_by_name"),
            models.Index(fields=["price", "id"], name="product_by_price"),
            models.Index(fields=["category", "name", "id"], name="product_by_category"),
            models.Index(fields=["-created_at", "-id"], name="product_by_age"),
        ]
        constraints = [
            models.CheckConstraint(
                name="product_price_gte_0", condition=Q(price__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("catalog:product", args=[self.slug])

    @property
    def option(self) -> str:
        """What tells this variant from the others: "M" of "Rain Jacket, M"."""
        for separator in (" - ", ", "):
            _, found, option = self.name.rpartition(separator)
            if found:
                return option
        return self.name


def promised() -> models.expressions.Combinable:
    return F("reserved") + F("allocated")


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
        ]

    def __str__(self) -> str:
        return f"{self.product_id}: {self.on_hand}"

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
        return f"{self.product_id} for {self.email}"


class StockMovement(models.Model):
    """One change of a product's quantities: who, why, and from what to what.

    Append-only: a trigger in the database refuses UPDATE and DELETE for everybody.
    The sum of a product's deltas is its Stock row.
    """

    class Kind(models.TextChoices):
        RECEIPT = "receipt", _("Receipt")
        ADJUSTMENT = "adjustment", _("Adjustment")
        RESERVE = "reserve", _("Reserve")
        RELEASE = "release", _("Release")
        SALE = "sale", _("Sale")
        RETURN = "return", _("Return")
        FLASH_ALLOCATE = "flash_allocate", _("Flash allocation")
        FLASH_RETURN = "flash_return", _("Flash return")
        IMPORT = "import", _("Import")
        REPAIR = "repair", _("Repair")

    product = models.ForeignKey(Product, models.PROTECT, related_name="movements")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    on_hand_delta = models.IntegerField(default=0)
    reserved_delta = models.IntegerField(default=0)
    allocated_delta = models.IntegerField(default=0)
    on_hand_after = models.IntegerField()
    reserved_after = models.IntegerField()
    allocated_after = models.IntegerField()
    cause = models.CharField(max_length=120, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("movement")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["product", "-id"], name="movement_by_product"),
            models.Index(fields=["cause"], name="movement_by_cause"),
            models.Index(fields=["kind", "-id"], name="movement_by_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.product_id}"

    @property
    def on_hand_before(self) -> int:
        return self.on_hand_after - self.on_hand_delta

    @property
    def reserved_before(self) -> int:
        return self.reserved_after - self.reserved_delta

    @property
    def allocated_before(self) -> int:
        return self.allocated_after - self.allocated_delta


class StatusChange(models.Model):
    """One crossing of a level: alerts are sent from these rows, once each."""

    product = models.ForeignKey(Product, models.PROTECT, related_name="status_changes")
    from_status = models.CharField(max_length=12, choices=StockStatus.choices)
    to_status = models.CharField(max_length=12, choices=StockStatus.choices)
    sellable = models.PositiveIntegerField(
        help_text=_("Units above the threshold at that moment, in all channels.")
    )
    cause = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    alerted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["product", "-id"], name="status_change_by_product"),
            models.Index(
                fields=["id"],
                name="status_change_to_alert",
                condition=Q(alerted_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.product_id}: {self.from_status} to {self.to_status}"


class ThresholdChange(models.Model):
    """A product's levels before and after a change; rows of one batch undo together."""

    batch = models.UUIDField(db_index=True)
    product = models.ForeignKey(
        Product, models.PROTECT, related_name="threshold_changes"
    )
    safety_threshold_before = models.PositiveIntegerField()
    safety_threshold_after = models.PositiveIntegerField()
    low_stock_level_before = models.PositiveIntegerField()
    low_stock_level_after = models.PositiveIntegerField()
    inherits_threshold_before = models.BooleanField()
    inherits_threshold_after = models.BooleanField()
    inherits_low_stock_level_before = models.BooleanField()
    inherits_low_stock_level_after = models.BooleanField()
    reason = models.CharField(max_length=200, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["product", "-id"], name="threshold_by_product")]

    def __str__(self) -> str:
        return f"{self.product_id}: {self.safety_threshold_after}"


def new_secret() -> str:
    """A fresh signing secret for a webhook endpoint."""
    return secrets.token_urlsafe(32)


class WebhookEndpoint(models.Model):
    """Where another system hears of events; each delivery is signed with its secret."""

    url = models.URLField(max_length=500)
    kinds = models.JSONField(
        default=list,
        blank=True,
        help_text=_("Event kinds to send, as a list; empty: all."),
    )
    secret = models.CharField(max_length=80, default=new_secret)
    old_secret = models.CharField(max_length=80, blank=True)
    old_secret_until = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.url


class OutboxEvent(models.Model):
    """Something other systems are told, written with the change it is about."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=40)
    data = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class WebhookDelivery(models.Model):
    """One event on its way to one endpoint, with what came back so far."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Failed")

    event = models.ForeignKey(OutboxEvent, models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(
        WebhookEndpoint, models.CASCADE, related_name="deliveries"
    )
    state = models.CharField(
        max_length=10, choices=State.choices, default=State.PENDING
    )
    attempts = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now)
    answer = models.CharField(max_length=200, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = _("webhook deliveries")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                name="delivery_per_endpoint", fields=["event", "endpoint"]
            )
        ]
        indexes = [
            models.Index(
                fields=["next_try_at"],
                name="delivery_due",
                condition=Q(state="pending"),
            )
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.endpoint_id}"


class AlertKind(models.TextChoices):
    LOW = "low", _("Low stock")
    OUT = "out", _("Out of stock")
    BACK = "back", _("Back in stock")
    STAYS_OUT = "stays_out", _("Stays out of stock")
    SOLD_OUT = "sold_out", _("Flash-sale product sold out")
    DRIFT = "drift", _("Audit found a difference")
    DOUBT = "doubt", _("Live counters in doubt")
    SYNC_LAG = "sync_lag", _("Sync lags behind")
    PAYMENT = "payment", _("Payment to look at")


class AlertRule(models.Model):
    """Who is told of what by e-mail; in the dashboard every alert is shown."""

    kind = models.CharField(max_length=10, choices=AlertKind.choices)
    product = models.ForeignKey(
        Product,
        models.CASCADE,
        null=True,
        blank=True,
        help_text=_("Empty: all products of the category, or of the store."),
    )
    category = models.ForeignKey(
        Category,
        models.CASCADE,
        null=True,
        blank=True,
        help_text=_("With its subcategories. Empty: the whole store."),
    )
    emails = models.CharField(
        max_length=500, help_text=_("Addresses, separated by commas.")
    )
    quiet_minutes = models.PositiveIntegerField(
        default=30,
        help_text=_("The same product is not reported again within this time."),
    )
    out_hours = models.PositiveIntegerField(
        default=24, help_text=_("Only for “stays out”: after how many hours.")
    )
    is_digest = models.BooleanField(
        _("digest"), default=False, help_text=_("One mail a day instead of at once.")
    )
    is_active = models.BooleanField(default=True)
    mailed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["kind", "pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.emails}"


class Alert(models.Model):
    """One thing a merchant should know, until somebody has seen it."""

    kind = models.CharField(max_length=10, choices=AlertKind.choices)
    product = models.ForeignKey(Product, models.CASCADE, null=True, blank=True)
    text = models.CharField(max_length=300)
    cause = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    seen_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True
    )

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["product", "kind", "-id"], name="alert_by_product"),
            models.Index(
                fields=["-id"], name="alert_unseen", condition=Q(seen_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return self.text


class AlertMail(models.Model):
    """One alert that a rule wants mailed; unsent until `sent_at`."""

    rule = models.ForeignKey(AlertRule, models.CASCADE, related_name="mails")
    alert = models.ForeignKey(Alert, models.CASCADE, related_name="mails")
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="mail_per_alert", fields=["rule", "alert"])
        ]
        indexes = [
            models.Index(
                fields=["rule"],
                name="alert_mail_to_send",
                condition=Q(sent_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.alert_id} to {self.rule_id}"
