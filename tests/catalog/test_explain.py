import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from catalog import explain, stock, thresholds
from catalog.models import Stock
from tests.factories import make_category, make_product, make_staff

MINUS = "\N{MINUS SIGN}"
pytestmark = pytest.mark.django_db


def figures(product):
    row = Stock.objects.select_related("product").get(pk=product.pk)
    return {figure.name: figure for figure in explain.explain(row)["figures"]}


def busy_product():
    pot = make_product("Clay pot", on_hand=30, safety_threshold=4)
    stock.reserve({pot.pk: 5}, note=stock.Note())
    stock.ship({pot.pk: 2}, note=stock.Note())
    stock.allocate(pot.pk, 10, note=stock.Note())
    stock.adjust(pot.pk, on_hand=27, note=stock.Note(reason="one broken"))
    return pot


def test_parts_of_every_figure_add_up_to_it():
    found = figures(busy_product())

    for name, figure in found.items():
        assert sum(part.number for part in figure.parts) == figure.number, name
    assert [(part.number, part.text) for part in found["on_hand"].parts] == [
        (-1, "adjustment"),
        (30, "receipt"),
        (-2, "sale"),
    ]


def test_nothing_that_is_taken_off_is_still_taken_off(admin_client):
    pot = make_product("Clay pot", on_hand=3)
    url = reverse("admin:catalog_stock_change", args=[pot.pk])

    text = " ".join(strip_tags(admin_client.get(url).content.decode()).split())

    assert "= 3 on hand - 0 reserved - 0 allocated" in text.replace(MINUS, "-")
    assert "= 3 available - 0 safety threshold" in text.replace(MINUS, "-")


def test_every_figure_has_parts_and_every_part_leads_somewhere(admin_client):
    pot = busy_product()
    url = reverse("admin:catalog_stock_change", args=[pot.pk])
    html = admin_client.get(url).content.decode()

    for figure in figures(pot).values():
        assert f'id="{figure.name}"' in html
        assert figure.parts, figure.name
        for part in figure.parts:
            if part.url == "#promises":
                assert 'id="promises"' in html
            elif part.url.startswith("#"):
                assert f'id="{part.url[1:]}"' in html
            else:
                assert admin_client.get(part.url).status_code == 200


def test_part_of_the_ledger_leads_to_exactly_those_movements(admin_client):
    pot = busy_product()
    make_product(on_hand=4)

    (receipts,) = [p for p in figures(pot)["on_hand"].parts if p.text == "receipt"]
    rows = admin_client.get(receipts.url).context["cl"].result_list

    assert [(row.product, row.on_hand_delta) for row in rows] == [(pot, 30)]


def test_sellable_below_zero_says_that_it_is_a_floor():
    pot = make_product(on_hand=3, safety_threshold=5)

    figure = figures(pot)["sellable"]

    assert figure.number == 0
    assert sum(part.number for part in figure.parts) == -2
    assert "Never below 0" in figure.note


@pytest.mark.parametrize("name", ["safety_threshold", "low_stock_level"])
def test_level_names_whom_it_is_inherited_from(name):
    garden = make_category("Garden", **{name: 3})
    pots = make_category("Pots", parent=garden)
    inherits = {"inherits_threshold": True, "inherits_low_stock_level": True}
    pot = make_product(category=pots, **inherits, **{name: 3})
    mug = make_product(**inherits)

    (from_garden,) = figures(pot)[name].parts
    (from_store,) = figures(mug)[name].parts

    assert from_garden.text == "inherited from: category Garden"
    address = reverse("admin:catalog_category_change", args=[garden.pk])
    assert from_garden.url == address
    assert from_store.text == "inherited from: store"


def test_level_says_who_changed_it_last():
    owner = make_staff("owner")
    pot = make_product(safety_threshold=1)
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=4)}, actor=owner)

    found = figures(pot)

    assert f"1 → 4 by {owner}" in found["safety_threshold"].note
    assert found["low_stock_level"].note == "Never changed."


def chart_of(product):
    row = Stock.objects.select_related("product").get(pk=product.pk)
    return json.loads(explain.explain(row)["chart"])


def test_chart_shows_stock_promises_and_threshold_up_to_now():
    pot = make_product(on_hand=10, safety_threshold=2)
    stock.reserve({pot.pk: 3}, note=stock.Note())
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)})

    on_hand, promised, threshold = chart_of(pot)["series"]

    assert [y for _x, y in on_hand["points"]] == [10, 10, 10]
    assert [y for _x, y in promised["points"]] == [0, 3, 3]
    assert [y for _x, y in threshold["points"]] == [2, 7, 7]
    now = timezone.now()
    for series in (on_hand, promised, threshold):
        times = [x for x, _y in series["points"]]
        assert times == sorted(times)
        assert now - timedelta(minutes=1) < now.fromtimestamp(
            times[-1] / 1000, now.tzinfo
        )


def test_chart_marks_each_change_of_the_status_where_the_stock_was():
    pot = make_product(on_hand=10, safety_threshold=2)
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=10)})
    stock.receive(pot.pk, 5, note=stock.Note())

    marks = chart_of(pot)["marks"]

    assert [(mark["text"], mark["y"]) for mark in marks] == [
        ("Out of stock", 10),
        ("In stock", 15),
    ]


def test_page_of_a_number_runs_the_same_queries_however_long_its_history(
    admin_client, django_assert_num_queries
):
    pot = make_product(on_hand=10)
    url = reverse("admin:catalog_stock_change", args=[pot.pk])
    admin_client.get(url)
    with django_assert_num_queries(9):
        admin_client.get(url)
    for number in range(1, 12):
        stock.receive(pot.pk, number, note=stock.Note())
        thresholds.change({pot.pk: thresholds.Levels(safety_threshold=number)})

    with django_assert_num_queries(9):
        admin_client.get(url)
