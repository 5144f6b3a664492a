"""What happened to quantities, statuses and levels: rows that are only added."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from catalog.models.products import Product
from catalog.status import StockStatus


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
        verbose_name_plural = _("ledger")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["product", "-id"], name="movement_by_product"),
            models.Index(fields=["cause"], name="movement_by_cause"),
            models.Index(fields=["kind", "-id"], name="movement_by_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.product}"

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
            models.Index(fields=["to_status", "-id"], name="status_change_by_status"),
            models.Index(
                fields=["id"],
                name="status_change_to_alert",
                condition=Q(alerted_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        words = self.get_from_status_display(), self.get_to_status_display()
        return f"{self.product}: {words[0]} to {words[1]}"


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
        verbose_name = _("level change")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["product", "-id"], name="threshold_by_product")]

    def __str__(self) -> str:
        return f"{self.product}: {self.safety_threshold_after}"
