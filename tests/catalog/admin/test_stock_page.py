import pytest

from catalog import stock, thresholds
from tests.catalog.admin.desk import page
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db


def test_stock_page_gives_the_formula_and_the_origin_of_the_threshold(admin_client):
    garden = make_category("Garden", safety_threshold=3)
    pot = make_product(on_hand=20, safety_threshold=3, category=garden)
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=None)})
    stock.reserve({pot.pk: 2}, note=stock.Note(reason="a large order"))

    html = admin_client.get(page(pot)).content.decode()

    assert '<a href="#available"><b>18</b>' in html
    assert "<b>15</b><span>sellable in the shop" in html
    assert "inherited from: category Garden" in html
    assert "a large order" in html


def test_adjust_sets_the_counted_number_and_writes_who_and_why(
    admin_client, admin_user
):
    pot = make_product(on_hand=10)

    response = admin_client.post(
        page(pot, "adjust"),
        {"on_hand": 8, "reason": "two broken", "version": pot.stock.version},
    )

    assert response.url == page(pot)
    movement = pot.movements.first()
    assert (movement.kind, movement.on_hand_delta) == ("adjustment", -2)
    assert (movement.reason, movement.actor) == ("two broken", admin_user)


def test_adjust_by_htmx_reloads_the_page_it_was_opened_on(admin_client):
    pot = make_product(on_hand=10)

    response = admin_client.post(
        page(pot, "adjust"),
        {"on_hand": 8, "reason": "two broken", "version": pot.stock.version},
        headers={"HX-Request": "true"},
    )

    assert response.headers["HX-Refresh"] == "true"


def test_adjust_that_lost_a_race_changes_nothing_and_offers_the_choice(admin_client):
    pot = make_product(on_hand=10)
    data = {"on_hand": 8, "reason": "counted", "version": pot.stock.version}
    stock.receive(pot.pk, 5, note=stock.Note())

    response = admin_client.post(page(pot, "adjust"), data)

    assert response.status_code == 422
    html = response.content.decode()
    assert "15 are on hand now" in html
    assert "submit again to set 8" in html
    pot.stock.refresh_from_db()
    assert pot.stock.on_hand == 15
    assert f'name="version" value="{pot.stock.version}"' in html


def test_adjust_below_what_is_promised_is_refused_with_the_number(admin_client):
    pot = make_product(on_hand=10)
    stock.reserve({pot.pk: 6}, note=stock.Note())
    data = {"on_hand": 5, "reason": "counted", "version": pot.stock.version}

    response = admin_client.post(page(pot, "adjust"), data)

    assert "6 units are promised" in response.content.decode()
    pot.stock.refresh_from_db()
    assert pot.stock.on_hand == 10


def test_opening_a_dialog_changes_nothing(admin_client):
    pot = make_product(on_hand=10)

    response = admin_client.get(page(pot, "adjust"))

    assert response.status_code == 200
    assert pot.movements.count() == 1


def test_receive_adds_units_with_a_reason(admin_client):
    pot = make_product(on_hand=10)

    admin_client.post(page(pot, "receive"), {"quantity": 5, "reason": "delivery 7"})

    pot.stock.refresh_from_db()
    assert pot.stock.on_hand == 15
    assert pot.movements.first().reason == "delivery 7"


def test_receive_wants_a_reason(admin_client):
    pot = make_product(on_hand=10)

    response = admin_client.post(page(pot, "receive"), {"quantity": 5, "reason": ""})

    assert response.status_code == 422
    assert pot.movements.count() == 1
