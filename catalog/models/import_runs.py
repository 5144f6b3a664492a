"""Imports of long files, on their way through a worker."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class ImportRun(models.Model):
    """One file on its way into the shop: read, shown, confirmed, carried out.

    A worker does what a busy run waits for; `beat_at` says that one is at it.
    """

    class State(models.TextChoices):
        READING = "reading", _("Being read")
        READY = "ready", _("Waits for you")
        WAITING = "waiting", _("Being imported")
        DONE = "done", _("Done")
        REFUSED = "refused", _("Bad lines")
        UNUSABLE = "unusable", _("Cannot be read")
        FAILED = "failed", _("Failed")

    BUSY = (State.READING, State.WAITING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    file_name = models.CharField(max_length=200)
    content = models.BinaryField(help_text=_("The file, compressed; empty when over."))
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    state = models.CharField(
        max_length=10, choices=State.choices, default=State.READING
    )
    percent = models.PositiveSmallIntegerField(default=0)
    report = models.JSONField(default=dict)
    mark = models.CharField(max_length=64, blank=True)
    note = models.CharField(max_length=500, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    beat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(
                fields=["created_at"],
                name="import_run_to_do",
                condition=models.Q(state__in=["reading", "waiting"]),
            )
        ]

    def __str__(self) -> str:
        return self.file_name

    @property
    def is_busy(self) -> bool:
        """Whether a worker has something to do for it."""
        return self.state in self.BUSY

    @property
    def rows(self) -> int:
        return int(self.report.get("rows", 0))

    @property
    def rows_done(self) -> int:
        return self.rows * self.percent // 100
