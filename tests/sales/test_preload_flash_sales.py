"""manage.py preload_flash_sales says what it did, and fails in one sentence."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sales import counters
from tests.factories import make_item, make_loaded_item, make_product, make_sale

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def run():
    """What the command prints, and how it ends."""
    out = StringIO()
    try:
        call_command("preload_flash_sales", stdout=out, stderr=out)
    except CommandError as error:
        return out.getvalue(), str(error)
    return out.getvalue(), ""


def test_what_is_loaded_is_named_with_its_units(sale_redis):
    pot = make_product(sku="POT", on_hand=9, safety_threshold=2)
    make_item(product=pot, sale=make_sale(state="scheduled"), units=9)

    assert run() == ("POT: 9 units preloaded, 2 of them safety stock\n", "")
    assert run() == ("POT: was loaded already\n", "")


def test_one_product_that_cannot_be_loaded_leaves_the_others_alone(sale_redis):
    sale = make_sale(state="scheduled")
    make_item(product=make_product(sku="POT", on_hand=1), sale=sale, units=9)
    make_item(product=make_product(sku="JUG"), sale=sale, units=1)

    out, error = run()

    assert "POT: not preloaded: 9 units asked, 1 available" in out
    assert "JUG: 1 units preloaded" in out
    assert error == "1 of 2 products are not loaded."


def test_a_redis_that_is_away_is_one_sentence(sale_redis, settings):
    make_loaded_item()
    settings.SALE_REDIS_URL = "unix:///nowhere/redis.sock"
    counters.disconnect()

    _out, error = run()

    assert error.startswith("The sale Redis does not answer: ")
