"""The pictures of a product's page."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.validators import FileExtensionValidator
from django.db import models
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from catalog.models.products import Product

LAST = 999


def check_size(file: "File[bytes]") -> None:
    """Refuses an upload that shoppers on a phone would wait for."""
    if getattr(file, "_committed", False):  # in the storage already, or lost from it
        return
    if file.size and file.size > settings.SHOP_MAX_PICTURE_BYTES:
        most = filesizeformat(settings.SHOP_MAX_PICTURE_BYTES)
        raise ValidationError(
            _("This picture is larger than %(most)s. Save it smaller and try again.")
            % {"most": most}
        )


class ProductPicture(models.Model):
    """One picture of a product; `catalog.gallery` copies the first to the product.

    Variants may share a file, so it stays in the storage when a row goes.
    """

    product = models.ForeignKey(Product, models.CASCADE, related_name="pictures")
    file = models.FileField(
        gettext_lazy("picture"),
        upload_to="products/",
        validators=[
            FileExtensionValidator(
                ["avif", "gif", "jpeg", "jpg", "png", "svg", "webp"]
            ),
            check_size,
        ],
        help_text=gettext_lazy("Best 4 to 3, at least 800 wide."),
    )
    alt = models.CharField(
        gettext_lazy("what it shows"),
        max_length=200,
        blank=True,
        help_text=gettext_lazy("Read out to those who do not see it."),
    )
    position = models.PositiveSmallIntegerField(
        gettext_lazy("place"),
        default=LAST,
        help_text=gettext_lazy("Lists show the first."),
    )

    class Meta:
        verbose_name = gettext_lazy("picture")
        verbose_name_plural = gettext_lazy("pictures")
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return self.alt or str(self.file)
