from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils.translation import override

from catalog import stock
from catalog.templatetags.money import money
from catalog.templatetags.stock import stock_words
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db

PRODUCTS = "/products/"


def names(response):
    return [product.name for product in response.context["page"].items]


def test_list_is_a_page_and_its_results_a_fragment_of_it(client):
    make_product("Clay pot")

    page = client.get(PRODUCTS)
    fragment = client.get(
        PRODUCTS, headers={"HX-Request": "true", "HX-Target": "product-results"}
    )

    assert "<html" in page.text
    assert fragment.text.strip() in page.text
    assert fragment.text.lstrip().startswith('<section id="product-results"')
    assert "HX-Target" in page["Vary"]


def test_a_restored_page_is_whole(client):
    headers = {"HX-Request": "true", "HX-History-Restore-Request": "true"}

    assert "<html" in client.get(PRODUCTS, headers=headers).text


def test_list_shows_published_products_only(client):
    make_product("Clay pot")
    make_product("Secret pot", is_published=False)

    assert names(client.get(PRODUCTS)) == ["Clay pot"]


def test_a_category_holds_what_lies_below_it(client):
    garden = make_category("Garden", slug="garden")
    pots = make_category("Pots", slug="pots", parent=garden)
    make_product("Clay pot", category=pots)
    make_product("Rake", category=garden)
    make_product("Lamp")

    assert names(client.get("/categories/garden/")) == ["Clay pot", "Rake"]
    assert names(client.get("/categories/garden/pots/")) == ["Clay pot"]


def test_a_category_is_found_at_its_place_in_the_tree(client):
    garden = make_category("Garden", slug="garden")
    pots = make_category("Pots", slug="pots", parent=garden)

    response = client.get(pots.get_absolute_url() + "?q=clay")

    assert response.status_code == 301
    assert response["Location"] == "/categories/garden/pots/?q=clay"


def test_filters_narrow_the_list(client):
    make_product("Cheap", price=Decimal(5))
    make_product("Dear", price=Decimal(50))
    make_product("Gone", price=Decimal(20), on_hand=2, safety_threshold=2)

    assert names(client.get(PRODUCTS, {"price_min": "10"})) == ["Dear", "Gone"]
    assert names(client.get(PRODUCTS, {"price_max": "20"})) == ["Cheap", "Gone"]
    assert names(client.get(PRODUCTS, {"available": "on"})) == ["Cheap", "Dear"]
    assert names(client.get(PRODUCTS, {"sort": "dearest"})) == ["Dear", "Gone", "Cheap"]


def test_search_puts_the_best_match_first(client):
    make_product("Rake", description="Better than a spade")
    make_product("Spade")

    assert names(client.get(PRODUCTS, {"q": "spade"})) == ["Spade", "Rake"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"price_min": "abc"}, "Type the price as a number"),
        ({"price_min": "-1"}, "cannot be below zero"),
        ({"price_min": "9", "price_max": "2"}, "must not be below the lowest"),
        ({"price_max": "1e99"}, "higher than any"),
        ({"sort": "sideways"}, "sideways"),
        ({"q": "a" * 101}, "at most 100 characters"),
        ({"q": "a\0b"}, "Null characters"),
    ],
)
def test_a_filter_that_makes_no_sense_is_answered_with_a_sentence(
    client, query, sentence
):
    response = client.get(PRODUCTS, query)

    assert response.status_code == 422
    assert sentence in response.text


def test_a_damaged_cursor_leads_to_the_first_page(client):
    response = client.get(PRODUCTS, {"cursor": "nonsense", "sort": "newest"})

    assert response["Location"] == "/products/?sort=newest"


def test_no_match_says_what_to_do(client):
    make_product("Clay pot")

    assert "Clear the filters" in client.get(PRODUCTS, {"q": "spade"}).text


@pytest.mark.parametrize("path", ["/products/no-such/", "/categories/no-such/", "/no/"])
def test_an_unknown_address_is_a_404_that_helps(client, path):
    response = client.get(path)

    assert response.status_code == 404
    assert "We cannot find this page" in response.text
    assert f'action="{reverse("catalog:products")}"' in response.text


@pytest.mark.parametrize("rows", [3, 60])
def test_list_takes_the_same_few_queries_at_any_size(
    client, rows, django_assert_max_num_queries
):
    garden = make_category("Garden", slug="garden")
    for number in range(rows):
        make_product(f"Pot {number}", category=garden)

    with django_assert_max_num_queries(6):
        client.get("/categories/garden/", {"q": "pot", "available": "on"})


def test_product_page_takes_at_most_five_queries(client, django_assert_max_num_queries):
    garden = make_category("Garden")
    products = [make_product("Pot", category=garden) for _ in range(6)]
    for number in range(6):
        make_product(f"Rake {number}", category=garden)

    with django_assert_max_num_queries(5):
        response = client.get(products[0].get_absolute_url())

    assert len(response.context["variants"]) == 6
    assert len(response.context["related"]) == 4


def test_product_page_tells_machines_the_true_availability(client):
    product = make_product("Pot", on_hand=2, safety_threshold=2, price=Decimal("7.50"))

    page = client.get(product.get_absolute_url()).text

    assert 'href="https://schema.org/OutOfStock"' in page
    assert 'itemprop="price" content="7.50"' in page


def test_an_unpublished_product_has_no_page(client):
    product = make_product(is_published=False)

    assert client.get(product.get_absolute_url()).status_code == 404


@pytest.mark.parametrize(
    ("on_hand", "words"),
    [
        (2, "Out of stock"),
        (3, "Only 1 left"),
        (7, "Only 5 left"),
        (8, "In stock"),
    ],
)
def test_stock_words_follow_threshold_and_low_level(on_hand, words):
    product = make_product(on_hand=on_hand, safety_threshold=2, low_stock_level=5)

    assert stock_words(product.stock).text == words


def test_units_set_aside_for_a_flash_sale_are_not_promised_here():
    product = make_product(on_hand=10)
    stock.allocate(product.pk, 10, note=stock.Note(cause="test"))
    product.stock.refresh_from_db()

    words = stock_words(product.stock)

    assert (words.text, words.can_buy) == ("Only in the flash sale", False)


def test_money_follows_the_language():
    assert money(Decimal("1234.5")) == "$1,234.50"
    with override("id"):
        assert money(Decimal("1234.5"), "IDR") == "Rp1.234,50"


def test_variants_are_told_apart_by_their_option_alone(client):
    small = make_product("Rain Jacket, S", handle="rain-jacket")
    make_product("Rain Jacket, M", handle="rain-jacket")

    chips = client.get(small.get_absolute_url()).content.decode()

    assert ">S</a>" in chips
    assert ">M</a>" in chips


def test_the_shelf_shows_each_product_once_however_many_variants_it_has(client):
    shelf = make_category()
    shown = make_product("Boots", category=shelf)
    for size in "SM":
        make_product(f"Rain Jacket, {size}", handle="rain-jacket", category=shelf)

    related = client.get(shown.get_absolute_url()).context["related"]

    assert [product.name for product in related] == ["Rain Jacket, S"]


def test_a_search_reads_the_stock_of_its_page_alone(
    client, django_assert_max_num_queries
):
    for number in range(60):
        make_product(f"Pot {number}")

    with django_assert_max_num_queries(4) as captured:
        client.get("/products/", {"q": "pot"})

    stock = [q["sql"] for q in captured if 'FROM "catalog_stock"' in q["sql"]]
    assert len(stock) == 1
    assert not any('JOIN "catalog_stock"' in q["sql"] for q in captured)
