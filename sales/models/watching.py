"""What is kept for people who watch: audits, and how claims were answered."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from sales.models.flash_sales import FlashSaleItem


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
        verbose_name = _("audit")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M:%S} UTC: {self.get_verdict_display()}"

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
    WAITING_ROOM = "waiting_room", _("Past the waiting room")
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
        return f"{self.get_answer_display()}: {self.claims}"
