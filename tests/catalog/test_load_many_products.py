"""manage.py load_many_products: quick, repeatable, and never by mistake."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F, Sum

from catalog.models import Product, Stock
from tests.factories import make_category

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _here(settings):
    settings.LOCAL = True


def load(count, **options):
    said = StringIO()
    call_command("load_many_products", count, stdout=said, **options)
    return said.getvalue()


def test_a_repeat_makes_only_what_is_missing():
    make_category("Garden", safety_threshold=3)

    first, again, more = load(20), load(20), load(30)

    assert first.startswith("20 products made")
    assert again.startswith("0 products made")
    assert more.startswith("10 products made")
    assert Product.objects.count() == Stock.objects.count() == 30


def test_stock_inherits_its_levels_and_is_in_the_ledger():
    make_category("Garden", safety_threshold=3)

    load(30)

    in_garden = Stock.objects.filter(product__category__name="Garden")
    assert set(in_garden.values_list("safety_threshold", flat=True)) == {3}
    summed = Stock.objects.annotate(sum=Sum("product__movements__on_hand_delta"))
    assert not summed.filter(on_hand__gt=0).exclude(sum=F("on_hand")).exists()
    assert Stock.objects.filter(on_hand=0).exists()


def test_a_shop_that_may_be_real_is_left_alone(settings):
    settings.LOCAL = settings.DEMO = False

    with pytest.raises(CommandError, match="--yes"):
        load(5)
    assert not Product.objects.exists()

    assert load(5, yes=True).startswith("5 products made")
