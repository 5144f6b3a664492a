import pytest
from django.urls import reverse

from catalog import stock, thresholds
from catalog.models import StatusChange, StockMovement, ThresholdChange
from tests.factories import make_product, make_staff

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model", ["stockmovement", "statuschange", "thresholdchange"])
def test_ledger_can_be_read_and_by_nobody_changed(admin_client, model):
    pot = make_product(on_hand=1)
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=1)})
    row = {
        "stockmovement": StockMovement,
        "statuschange": StatusChange,
        "thresholdchange": ThresholdChange,
    }[model].objects.latest("pk")
    base = f"/admin/catalog/{model}/"

    assert admin_client.get(base).status_code == 200
    assert admin_client.get(f"{base}{row.pk}/change/").status_code == 200
    assert admin_client.get(f"{base}add/").status_code == 403
    assert admin_client.post(f"{base}add/").status_code == 403
    assert admin_client.post(f"{base}{row.pk}/change/", {}).status_code == 403
    assert (
        admin_client.post(f"{base}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    )
    admin_client.post(
        base, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    )
    assert type(row).objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("model", ["stockmovement", "statuschange"])
def test_ledger_is_read_without_counting_it(
    admin_client, django_assert_num_queries, model
):
    for _ in range(3):
        pot = make_product(on_hand=1)
        thresholds.change({pot.pk: thresholds.Levels(safety_threshold=1)})
    admin_client.get(f"/admin/catalog/{model}/")

    with django_assert_num_queries(2) as queries:
        response = admin_client.get(f"/admin/catalog/{model}/")

    assert len(response.context["cl"].result_list) == 3
    assert not any("COUNT(" in query["sql"] for query in queries.captured_queries)


def test_ledger_is_searched_by_product(admin_client):
    make_product("Clay pot")
    make_product("Jug")

    response = admin_client.get("/admin/catalog/stockmovement/?q=jug")

    rows = response.context["cl"].result_list
    assert [row.product.name for row in rows] == ["Jug"]


def test_level_changes_made_together_are_undone_together(admin_client):
    pot, jug = make_product("Clay pot", safety_threshold=1), make_product("Jug")
    levels = thresholds.Levels(safety_threshold=5)
    batch = thresholds.change({pot.pk: levels, jug.pk: levels})
    row = ThresholdChange.objects.filter(batch=batch).first()

    url = reverse("admin:catalog_thresholdchange_undo", args=[row.pk])
    response = admin_client.post(url, follow=True)

    assert "2 of 2 products are back" in response.content.decode()
    pot.stock.refresh_from_db()
    jug.stock.refresh_from_db()
    assert (pot.stock.safety_threshold, jug.stock.safety_threshold) == (1, 0)


def test_undo_is_one_button_in_the_list_of_level_changes(admin_client, client):
    pot = make_product("Clay pot", safety_threshold=1)
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=5)})
    change = ThresholdChange.objects.get()
    url = reverse("admin:catalog_thresholdchange_undo", args=[change.pk])

    listed = admin_client.get("/admin/catalog/thresholdchange/").content.decode()
    assert f'formaction="{url}"' in listed
    admin_client.post(url, {"action": "", "index": "0"})

    pot.stock.refresh_from_db()
    assert pot.stock.safety_threshold == 1
    client.force_login(make_staff("viewer"))
    listed = client.get("/admin/catalog/thresholdchange/").content.decode()
    assert "formaction" not in listed
    assert client.post(url).status_code == 403


def test_level_changes_of_one_batch_are_listed_from_a_status_change(admin_client):
    pot = make_product("Clay pot", on_hand=3)
    make_product("Jug")
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=5)})
    html = admin_client.get("/admin/catalog/statuschange/").content.decode()
    batch = ThresholdChange.objects.get().batch

    url = f"/admin/catalog/thresholdchange/?batch={batch}"
    assert f'href="{url}"' in html
    assert admin_client.get(url).status_code == 200


@pytest.mark.parametrize("cause", ["order:", "flash:x", "thresholds:", "odd", ""])
def test_odd_causes_do_not_break_the_ledger(admin_client, cause):
    pot = make_product()
    stock.receive(pot.pk, 1, note=stock.Note(cause=cause))

    assert admin_client.get("/admin/catalog/stockmovement/").status_code == 200
