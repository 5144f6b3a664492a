"""What the lists of the dashboard can be narrowed down to."""

from typing import Any

from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from catalog import categories
from catalog.models import Stock
from catalog.status import StockStatus


class StatusFilter(DropdownFilter):  # type: ignore[misc]
    title = gettext_lazy("status")
    parameter_name = "status"
    path = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(StockStatus.choices)

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> models.QuerySet[Any]:
        if self.value() in StockStatus.values:
            return queryset.filter(**{self.path: self.value()})
        return queryset


class ProductStatusFilter(StatusFilter):
    path = "stock__status"


class CategoryFilter(DropdownFilter):  # type: ignore[misc]
    """A category with everything below it."""

    title = gettext_lazy("category")
    parameter_name = "category"
    path = "category"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.tree = categories.tree()
        return [
            (str(node.category.pk), " / ".join(above.name for above in node.trail))
            for node in self.tree
        ]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> models.QuerySet[Any]:
        value = self.value()
        node = self.tree.of(int(value)) if value and value.isdecimal() else None
        if node is None:
            return queryset
        return queryset.filter(**{f"{self.path}__in": node.pks})


class StockCategoryFilter(CategoryFilter):
    path = "product__category"


class OriginFilter(DropdownFilter):  # type: ignore[misc]
    title = gettext_lazy("threshold")
    parameter_name = "threshold"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("inherited", gettext_lazy("Inherited")),
            ("own", gettext_lazy("Its own")),
        ]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Stock]
    ) -> models.QuerySet[Stock]:
        if self.value() in ("inherited", "own"):
            return queryset.filter(inherits_threshold=self.value() == "inherited")
        return queryset


class FlashFilter(DropdownFilter):  # type: ignore[misc]
    title = gettext_lazy("flash sale")
    parameter_name = "flash"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("allocated", gettext_lazy("In one (has units set aside)")),
            ("none", gettext_lazy("In none")),
        ]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Stock]
    ) -> models.QuerySet[Stock]:
        if self.value() == "allocated":
            return queryset.filter(allocated__gt=0)
        if self.value() == "none":
            return queryset.filter(allocated=0)
        return queryset


class LevelFilter(DropdownFilter):  # type: ignore[misc]
    """What needs somebody's attention, by the product's own levels."""

    title = gettext_lazy("level")
    parameter_name = "level"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("low", gettext_lazy("At or below the low-stock level")),
            ("above", gettext_lazy("Above it")),
        ]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Stock]
    ) -> models.QuerySet[Stock]:
        if self.value() == "low":
            return queryset.filter(status__in=[StockStatus.LOW, StockStatus.OUT])
        if self.value() == "above":
            return queryset.filter(status=StockStatus.IN)
        return queryset
