"""Flash sales and orders in the dashboard."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from sales.models import FlashSale, Order


@admin.register(FlashSale)
class FlashSaleAdmin(ModelAdmin):  # type: ignore[misc]
    pass


@admin.register(Order)
class OrderAdmin(ModelAdmin):  # type: ignore[misc]
    pass
