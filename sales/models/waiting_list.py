"""The waiting list: who stands in line for a flash item that cannot be had now."""

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Count, Q, Sum
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sales.models.flash_sales import FlashSaleItem
from sales.models.ranges import QUANTITY_RANGE


class EntryState(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    OFFERED = "offered", _("Offered")
    BOUGHT = "bought", _("Bought")
    LAPSED = "lapsed", _("Lapsed")
    LEFT = "left", _("Left")
    CLOSED = "closed", _("Closed")


OPEN = Q(state__in=[EntryState.WAITING, EntryState.OFFERED])


class WaitingEntryQuerySet(models.QuerySet["WaitingEntry"]):
    def open(self) -> Self:
        """Entries that wait, or whose offer stands."""
        return self.filter(OPEN)

    def in_line(self) -> Self:
        """Entries that wait for an offer, the first in line first."""
        return self.filter(state=EntryState.WAITING).order_by("pk")

    def wanted(self) -> dict[int, int]:
        """Units the line of each item wants, by item id."""
        rows = self.in_line().order_by().values_list("item")
        return dict(rows.annotate(units=Sum("quantity")))

    def tally(self) -> dict[str, int]:
        """How many joined, how many were made an offer, and how many bought."""
        bought = Count("pk", filter=Q(state=EntryState.BOUGHT))
        return self.aggregate(
            joined=Count("pk"), offers=Count("offered_at"), bought=bought
        )


class WaitingEntry(models.Model):
    """Somebody's place in line; `order_id` is what their offer's claim will be.

    The place is that of the primary key: joins of one item take turns. The address is
    forgotten when the entry ends; if it ends with the sale, once that is told, which is
    tried at `next_try_at`.
    """

    State = EntryState
    order_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    item = models.ForeignKey(
        FlashSaleItem, models.CASCADE, related_name="waiting_entries"
    )
    buyer = models.CharField(max_length=80)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="waiting_entries",
    )
    email = models.EmailField(blank=True)
    language = models.CharField(max_length=10, blank=True)
    quantity = models.PositiveIntegerField(default=1, validators=QUANTITY_RANGE)
    state = models.CharField(
        max_length=12, choices=EntryState.choices, default=EntryState.WAITING
    )
    reason = models.CharField(
        max_length=20, blank=True, help_text=_("Why it was closed.")
    )
    created_at = models.DateTimeField(default=timezone.now)
    offered_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    next_try_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    objects = WaitingEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = _("waiting entries")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                name="one_open_entry_per_buyer",
                fields=["item", "buyer"],
                condition=OPEN,
            ),
            models.UniqueConstraint(
                "item",
                Lower("email"),
                name="one_open_entry_per_email",
                condition=OPEN,
            ),
            models.CheckConstraint(
                name="entry_quantity_gte_1", condition=Q(quantity__gte=1)
            ),
        ]
        indexes = [
            models.Index(
                fields=["item", "id"],
                name="entry_in_line",
                condition=Q(state=EntryState.WAITING),
            ),
            models.Index(
                fields=["item"],
                name="entry_with_offer",
                condition=Q(state=EntryState.OFFERED),
            ),
            models.Index(
                fields=["ended_at"],
                name="entry_left",
                condition=Q(state=EntryState.LEFT),
            ),
            models.Index(
                fields=["next_try_at"],
                name="entry_to_tell",
                condition=Q(next_try_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}: {self.state}"

    def get_absolute_url(self) -> str:
        return reverse("sales:order", args=[self.order_id])

    @property
    def is_waiting(self) -> bool:
        return self.state == EntryState.WAITING

    @property
    def has_had_offer(self) -> bool:
        """Whether its order is there: from here on the order tells how it stands."""
        return self.offered_at is not None

    def end(self, state: str, *, now: datetime, reason: str = "") -> None:
        """Take a locked entry out of the line, and forget whom it would have told."""
        self.state, self.reason = state, reason
        self.email, self.ended_at = "", now
        self.save(update_fields=["state", "reason", "email", "ended_at"])


class ForgottenLine(models.Model):
    """What an item's report still tells of entries that were deleted, in numbers."""

    item = models.OneToOneField(
        FlashSaleItem, models.CASCADE, related_name="forgotten_line"
    )
    joined = models.PositiveIntegerField(default=0)
    offers = models.PositiveIntegerField(default=0)
    bought = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.joined} joined, {self.offers} offers, {self.bought} bought"
