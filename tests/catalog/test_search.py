import pytest

from catalog import search
from catalog.models import Product
from tests.factories import make_product

pytestmark = pytest.mark.django_db


def found(text):
    matches = search.matching(Product.objects.all(), text)
    return sorted(matches.values_list("name", flat=True))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("pot", ["Clay pot", "Potting soil"]),
        ("POT cla", ["Clay pot"]),
        ("SK-4711-", ["Clay pot"]),
        ("terra", ["Potting soil"]),
        ("spade", []),
        ("'); DROP | & !:*", []),
        ("pot'", ["Clay pot", "Potting soil"]),
        ("\\", []),
    ],
)
def test_every_word_matches_the_beginning_of_a_word(text, names):
    make_product("Clay pot", sku="SK-4711-B")
    make_product("Potting soil", vendor="Terra Nova")

    assert found(text) == names


def test_a_match_in_the_name_ranks_before_one_in_the_description():
    make_product("Rake", description="Goes well with a spade.")
    make_product("Spade")

    matches = search.ranked(Product.objects.all(), "spade").order_by("-relevance")

    assert [product.name for product in matches] == ["Spade", "Rake"]
