import pytest

from catalog import stock, thresholds
from catalog.models import ThresholdChange
from tests.catalog.admin.desk import DESK, desk_post, page
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db


def test_desk_shows_every_figure_of_a_row(admin_client):
    pot = make_product("Clay pot", on_hand=30, safety_threshold=4)
    stock.reserve({pot.pk: 3}, note=stock.Note())
    stock.allocate(pot.pk, 10, note=stock.Note())

    response = admin_client.get(DESK)

    html = response.content.decode()
    for name, number in [
        ("reserved", 3),
        ("allocated", 10),
        ("available", 17),
        ("sellable", 13),
    ]:
        assert f'<a href="{page(pot)}#{name}">{number}</a>' in html
    (line,) = response.context["lines"]
    for name, number in [
        ("on_hand", "30"),
        ("safety_threshold", "4"),
        ("low_stock_level", "0"),
    ]:
        assert getattr(line, name).text == number
        assert f'href="{page(pot)}#{name}"' in html


def test_desk_runs_the_same_queries_for_one_row_and_for_a_full_page(
    admin_client, django_assert_num_queries
):
    make_product()
    admin_client.get(DESK)
    with django_assert_num_queries(6):
        admin_client.get(DESK)
    for _ in range(24):
        make_product(category=make_category())

    with django_assert_num_queries(6):
        response = admin_client.get(DESK)

    assert len(response.context["lines"]) == 25


def test_desk_edit_changes_the_threshold_flips_the_status_and_names_the_editor(
    admin_client, admin_user
):
    pot, jug = make_product("Clay pot", on_hand=5), make_product("Jug", on_hand=5)

    response = admin_client.post(
        DESK, desk_post([pot, jug], {pot: {"safety_threshold": 5}})
    )

    assert response.status_code == 302
    pot.stock.refresh_from_db()
    assert (pot.stock.safety_threshold, pot.stock.status) == (5, "out_of_stock")
    assert pot.status_changes.get().to_status == "out_of_stock"
    assert ThresholdChange.objects.get().actor == admin_user
    assert ThresholdChange.objects.get().product == pot


def test_desk_edit_never_writes_quantities_back(admin_client):
    pot = make_product(on_hand=5)
    data = desk_post([pot], {pot: {"low_stock_level": 2}})
    stock.receive(pot.pk, 7, note=stock.Note())

    admin_client.post(DESK, data)

    pot.stock.refresh_from_db()
    assert (pot.stock.on_hand, pot.stock.low_stock_level) == (12, 2)


def test_desk_box_left_empty_inherits_again(admin_client):
    pot = make_product(safety_threshold=4, category=make_category(safety_threshold=2))

    admin_client.post(DESK, desk_post([pot], {pot: {"safety_threshold": ""}}))

    pot.stock.refresh_from_db()
    assert pot.stock.inherits_threshold
    assert pot.stock.safety_threshold == 2


def test_desk_conflict_shows_both_numbers_and_changes_nothing(admin_client):
    pot, jug = make_product("Clay pot", safety_threshold=1), make_product("Jug")
    data = desk_post(
        [pot, jug], {pot: {"safety_threshold": 3}, jug: {"safety_threshold": 1}}
    )
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)})

    response = admin_client.post(DESK, data)

    assert response.status_code == 409
    (conflict,) = response.context["conflicts"]
    assert (conflict.theirs, conflict.mine) == ("7", "3")
    pot.stock.refresh_from_db()
    jug.stock.refresh_from_db()
    assert (pot.stock.safety_threshold, jug.stock.safety_threshold) == (7, 0)


@pytest.mark.parametrize(("choice", "after"), [("mine:7", 3), ("theirs:7", 7)])
def test_desk_conflict_is_answered_with_mine_or_theirs(admin_client, choice, after):
    pot, jug = make_product(safety_threshold=1), make_product("Jug")
    data = desk_post([pot, jug], {pot: {"safety_threshold": 3}, jug: {"on_hand": 4}})
    data[f"{jug.pk}-reason"] = "counted"
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)})

    data[f"{pot.pk}-safety_threshold_choice"] = choice
    response = admin_client.post(DESK, data)

    assert response.status_code == 302
    pot.stock.refresh_from_db()
    jug.stock.refresh_from_db()
    assert (pot.stock.safety_threshold, jug.stock.on_hand) == (after, 4)


def test_desk_choice_does_not_overwrite_a_third_number(admin_client):
    pot = make_product(safety_threshold=1)
    data = desk_post([pot], {pot: {"safety_threshold": 3}})
    data[f"{pot.pk}-safety_threshold_choice"] = "mine:7"
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=8)})

    response = admin_client.post(DESK, data)

    assert response.status_code == 409
    pot.stock.refresh_from_db()
    assert pot.stock.safety_threshold == 8


def test_desk_count_needs_a_reason_and_stands_in_the_ledger(admin_client, admin_user):
    pot = make_product(on_hand=10)
    data = desk_post([pot], {pot: {"on_hand": 8}})

    refused = admin_client.post(DESK, data)
    assert refused.status_code == 422
    assert "Say why the count changes." in refused.content.decode()
    admin_client.post(DESK, {**data, f"{pot.pk}-reason": "two broken"})

    movement = pot.movements.first()
    assert (movement.kind, movement.on_hand_delta) == ("adjustment", -2)
    assert (movement.reason, movement.actor) == ("two broken", admin_user)


def test_desk_count_that_lost_a_race_is_a_choice(admin_client):
    pot = make_product(on_hand=10)
    data = desk_post([pot], {pot: {"on_hand": 8}}) | {f"{pot.pk}-reason": "counted"}
    stock.receive(pot.pk, 5, note=stock.Note())

    refused = admin_client.post(DESK, data)

    (conflict,) = refused.context["conflicts"]
    assert (conflict.theirs, conflict.mine) == ("15", "8")
    pot.stock.refresh_from_db()
    assert pot.stock.on_hand == 15
    data[conflict.choice] = f"mine:{conflict.base}"
    admin_client.post(DESK, data)
    pot.stock.refresh_from_db()
    assert pot.stock.on_hand == 8


def test_desk_count_below_what_is_promised_is_refused_with_the_number(admin_client):
    pot = make_product(on_hand=10)
    stock.reserve({pot.pk: 6}, note=stock.Note())
    data = desk_post([pot], {pot: {"on_hand": 5}}) | {f"{pot.pk}-reason": "counted"}

    response = admin_client.post(DESK, data)

    assert response.status_code == 422
    assert "6 units are promised" in response.content.decode()
    assert pot.movements.filter(kind="adjustment").count() == 0


def test_desk_writes_all_figures_of_a_page_or_none(admin_client):
    pot, jug = make_product("Clay pot", on_hand=10), make_product("Jug")
    data = desk_post([pot, jug], {pot: {"on_hand": 8}, jug: {"low_stock_level": "x"}})
    data[f"{pot.pk}-reason"] = "counted"

    admin_client.post(DESK, data)

    pot.stock.refresh_from_db()
    assert pot.stock.on_hand == 10


def test_desk_shows_a_refused_row_where_the_list_has_moved_on(admin_client):
    pot = make_product("Clay pot", on_hand=10)
    data = desk_post([pot], {pot: {"safety_threshold": "-1"}})

    response = admin_client.post(f"{DESK}?status=out_of_stock", data)

    (line,) = response.context["lines"]
    assert (line.row, line.safety_threshold.text) == (pot.stock, "-1")


def test_desk_leaves_rows_alone_that_others_changed_and_nobody_touched_here(
    admin_client,
):
    pot, jug = make_product("Clay pot"), make_product("Jug")
    data = desk_post([pot, jug], {jug: {"safety_threshold": 1}})
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)})

    assert admin_client.post(DESK, data).status_code == 302

    pot.stock.refresh_from_db()
    assert pot.stock.safety_threshold == 7


def test_desk_edit_is_possible_while_units_are_being_sold(admin_client):
    pot = make_product(on_hand=10)
    data = desk_post([pot], {pot: {"safety_threshold": 2}})
    stock.reserve({pot.pk: 3}, note=stock.Note())
    stock.ship({pot.pk: 3}, note=stock.Note())

    assert admin_client.post(DESK, data).status_code == 302

    pot.stock.refresh_from_db()
    assert (pot.stock.on_hand, pot.stock.safety_threshold) == (7, 2)


@pytest.mark.parametrize("typed", ["-1", "abc", "1000001", "2.5"])
def test_desk_refuses_numbers_that_are_no_level(admin_client, typed):
    pot = make_product(safety_threshold=1)

    response = admin_client.post(
        DESK, desk_post([pot], {pot: {"safety_threshold": typed}})
    )

    assert response.status_code == 422
    assert response.context["refused"][pot.pk].errors
    pot.stock.refresh_from_db()
    assert pot.stock.safety_threshold == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=out_of_stock", {"Gone"}),
        ("status=in_stock", {"Clay pot", "Mug"}),
        ("threshold=own", {"Clay pot", "Gone"}),
        ("threshold=inherited", {"Mug"}),
        ("flash=allocated", {"Clay pot"}),
        ("flash=none", {"Gone", "Mug"}),
        ("level=low", {"Gone"}),
        ("level=above", {"Clay pot", "Mug"}),
        ("q=cla", {"Clay pot"}),
        ("q=nothing+here", set()),
        ("category=nonsense", {"Clay pot", "Gone", "Mug"}),
    ],
)
def test_desk_filters(admin_client, query, found):
    pot = make_product("Clay pot", on_hand=9)
    make_product("Gone", on_hand=0)
    make_product("Mug", on_hand=9, inherits_threshold=True)
    stock.allocate(pot.pk, 4, note=stock.Note())

    rows = admin_client.get(f"{DESK}?{query}").context["cl"].result_list

    assert {row.product.name for row in rows} == found


def test_desk_category_filter_takes_in_what_lies_below(admin_client):
    garden = make_category("Garden")
    make_product("Pot", category=make_category("Pots", parent=garden))
    make_product("Lamp", category=make_category("Light"))

    response = admin_client.get(f"{DESK}?category={garden.pk}")

    assert [row.product.name for row in response.context["cl"].result_list] == ["Pot"]
