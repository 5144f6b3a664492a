"""The store, its categories and its products."""

from typing import Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from catalog.models.ranges import QUANTITY_LIMIT


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
    picture = models.FileField(  # the first of `pictures`, for lists
        upload_to="products/", blank=True, editable=False
    )
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
