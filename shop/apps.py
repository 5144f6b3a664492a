from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks


class ShopConfig(AppConfig):
    name = "shop"


@checks.register(deploy=True)
def somebody_takes_money(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Warnings, for `check --deploy`, of a shop that takes no money or lets it be."""
    if settings.SHOP_TEST_GATEWAY:
        return [
            checks.Warning(
                "The test gateway is on: shoppers decide themselves what is paid.",
                hint="Set SHOP_TEST_GATEWAY=off and STRIPE_SECRET_KEY.",
                id="shop.W001",
            )
        ]
    if not settings.STRIPE_SECRET_KEY:
        return [
            checks.Warning(
                "No payment gateway is on: no order can be paid.",
                hint="Set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET.",
                id="shop.W002",
            )
        ]
    return []
