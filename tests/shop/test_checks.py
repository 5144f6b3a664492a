"""What `manage.py check --deploy` says of a shop's settings."""

import pytest

from shop.apps import somebody_takes_money


@pytest.mark.parametrize(
    ("test_gateway", "stripe_key", "warned"),
    [
        (False, "sk_live_1", []),
        (False, "", ["shop.W002"]),
        (True, "", ["shop.W001"]),
        (True, "sk_live_1", ["shop.W001"]),
    ],
)
def test_a_shop_in_production_is_warned_unless_only_stripe_takes_money(
    settings, test_gateway, stripe_key, warned
):
    settings.SHOP_TEST_GATEWAY = test_gateway
    settings.STRIPE_SECRET_KEY = stripe_key

    assert [warning.id for warning in somebody_takes_money(None)] == warned
