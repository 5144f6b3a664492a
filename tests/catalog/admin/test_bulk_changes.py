import pytest

from catalog import stock
from tests.catalog.admin.desk import DESK, RULE, bulk_post
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db


def test_bulk_change_is_previewed_then_applied_and_can_be_undone(
    admin_client, admin_user
):
    pot, jug = make_product("Clay pot", on_hand=5), make_product("Jug", on_hand=50)
    make_product("Mug")
    asked = admin_client.post(DESK, bulk_post([pot, jug]))
    assert "For 2 products" in asked.content.decode()

    shown = admin_client.post(DESK, bulk_post([pot, jug], preview="1", **RULE))
    plan = shown.context["plan"]
    assert (len(plan.changes), plan.becoming_out) == (2, 1)
    pot.stock.refresh_from_db()
    assert pot.stock.safety_threshold == 0
    response = admin_client.post(
        DESK, bulk_post([pot, jug], apply="1", mark=plan.mark, **RULE), follow=True
    )

    pot.stock.refresh_from_db()
    assert pot.stock.is_out
    change = pot.threshold_changes.get()
    assert (change.reason, change.actor) == ("winter", admin_user)
    assert f"?batch={change.batch}" in response.content.decode()


def test_bulk_change_reaches_everything_the_filter_finds(admin_client):
    garden = make_category("Garden")
    for _ in range(30):
        make_product(category=garden)
    other = make_product("Lamp")

    shown = admin_client.post(
        f"{DESK}?category={garden.pk}",
        bulk_post([], _selected_action="1", select_across="1", preview="1", **RULE),
    )

    ids = {change.product_id for change in shown.context["plan"].changes}
    assert len(ids) == 30
    assert other.pk not in ids


def test_bulk_change_that_was_not_shown_is_not_made(admin_client):
    pot = make_product(on_hand=10)
    rule = {**RULE, "operation": "percent", "number": "50"}
    shown = admin_client.post(DESK, bulk_post([pot], preview="1", **rule))
    stock.receive(pot.pk, 10, note=stock.Note())

    mark = shown.context["plan"].mark
    response = admin_client.post(DESK, bulk_post([pot], apply="1", mark=mark, **rule))

    assert response.status_code == 409
    assert [change.threshold.after for change in response.context["plan"].changes] == [
        10
    ]
    pot.stock.refresh_from_db()
    assert pot.stock.safety_threshold == 0


@pytest.mark.parametrize(
    "wrong", [{"number": ""}, {"number": "-1"}, {"reason": ""}, {"operation": "x"}]
)
def test_bulk_change_refuses_half_a_rule(admin_client, wrong):
    pot = make_product()

    response = admin_client.post(
        DESK, bulk_post([pot], apply="1", mark="x", **{**RULE, **wrong})
    )

    assert response.status_code == 422
    assert not pot.threshold_changes.exists()


def test_viewer_cannot_change_many(viewer):
    pot = make_product()

    response = viewer.post(DESK, bulk_post([pot], apply="1", mark="x", **RULE))

    assert response.status_code == 403
    assert not pot.threshold_changes.exists()
