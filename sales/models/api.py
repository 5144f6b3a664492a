"""Keys to the JSON API, and first answers kept for repeats."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


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
