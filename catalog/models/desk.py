"""What the staff keep of the stock desk for themselves and each other."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class DeskView(models.Model):
    """A search, filters and an order of the stock desk, kept by somebody by name."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="desk_views"
    )
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1000, blank=True)
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("view of the stock desk")
        verbose_name_plural = _("views of the stock desk")
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(name="desk_view_name", fields=["owner", "name"])
        ]

    def __str__(self) -> str:
        return self.name


class DeskDefault(models.Model):
    """The view that the stock desk opens with for one member of the staff."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True
    )
    view = models.ForeignKey(DeskView, models.CASCADE)

    def __str__(self) -> str:
        return f"{self.user_id}: {self.view_id}"
