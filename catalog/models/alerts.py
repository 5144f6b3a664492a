"""What a merchant should know, and who is told of it by mail or webhook."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from catalog.models.products import Category, Product
from catalog.models.webhooks import WebhookEndpoint


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
    """Who is told of what by e-mail or webhook; the dashboard shows every alert."""

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
        max_length=500, blank=True, help_text=_("Addresses, separated by commas.")
    )
    endpoint = models.ForeignKey(
        WebhookEndpoint,
        models.PROTECT,
        verbose_name=_("webhook"),
        null=True,
        blank=True,
        help_text=_("Gets each alert at once, as an event of the type “alert”."),
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
        return f"{self.get_kind_display()}: {self.told}"

    @property
    def told(self) -> str:
        """Who is told; an endpoint's address is not shown, it may hold a secret."""
        by_webhook = [_("a webhook")] if self.endpoint_id else []
        return ", ".join(map(str, [*filter(None, [self.emails]), *by_webhook]))


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
    """One alert that a rule has mailed, or told its webhook alone; `sent_at`: done."""

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
        return f"{self.alert} to {self.rule.emails}"
