import pytest

from catalog.models import Product
from sales import preflight
from sales.models import SaleState
from tests.factories import make_item, make_loaded_item, make_product, make_sale

pytestmark = [pytest.mark.django_db, pytest.mark.redis]

ALL_RUNS = preflight.Operations(idle_queues=[], schedules=1)


def planned(**fields):
    return make_sale(state=SaleState.SCHEDULED, opens_in=3600, closes_in=7200, **fields)


def missing(sale, operations=ALL_RUNS):
    checks = preflight.of_sale(sale, operations)
    return [check.sentence for check in checks if not check.is_met]


def test_sale_with_everything_in_place_is_go(sale_redis):
    item = make_item(sale=planned(), product=make_product(on_hand=9), units=5)

    assert missing(item.sale) == []


def test_loaded_sale_is_go(sale_redis):
    item = make_loaded_item(sale=planned(), units=5)
    item.sale.refresh_from_db()

    assert missing(item.sale) == []


def test_draft_without_products_is_no_go(sale_redis):
    sale = make_sale(opens_in=3600, closes_in=7200)

    first, second = missing(sale)

    assert "is a draft" in first
    assert "Add at least one" in second


@pytest.mark.parametrize(
    ("product", "units", "sentence"),
    [
        ({"on_hand": 3}, 5, "5 units asked, 3 available"),
        ({"on_hand": 3, "safety_threshold": 3}, None, "nothing is above the safety"),
        ({"on_hand": 9, "safety_threshold": 9}, 4, "nothing is above the safety"),
    ],
)
def test_too_few_units_are_no_go(sale_redis, product, units, sentence):
    item = make_item(sale=planned(), product=make_product(**product), units=units)

    (found,) = missing(item.sale)

    assert sentence in found


def test_units_that_stay_below_the_threshold_are_told(sale_redis):
    pot = make_product("Clay pot", on_hand=10, safety_threshold=4)
    item = make_item(sale=planned(), product=pot)

    checks = preflight.of_sale(item.sale, ALL_RUNS)

    assert checks[-1].sentence == "Clay pot: 6 of 10 units can be sold."


@pytest.mark.parametrize(
    ("operations", "sentence"),
    [
        (preflight.Operations(["flash"], 1), "No worker for: flash"),
        (preflight.Operations([], 0), "No schedule runs"),
        (preflight.Operations([], 2), "2 schedules run"),
    ],
)
def test_missing_processes_are_no_go(sale_redis, operations, sentence):
    item = make_item(sale=planned(), units=5)

    (found,) = missing(item.sale, operations)

    assert sentence in found


def test_product_that_is_not_in_the_shop_is_no_go(sale_redis):
    item = make_item(sale=planned(), product=make_product("Clay pot"), units=5)
    Product.objects.update(is_published=False)

    (found,) = missing(item.sale)

    assert "nobody sees it: Clay pot" in found


def test_redis_that_does_not_answer_is_no_go(own_sale_redis):
    item = make_item(sale=planned(), units=5)
    own_sale_redis.kill()

    (found,) = missing(item.sale)

    assert "Redis does not answer" in found
