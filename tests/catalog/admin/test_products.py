from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from catalog import stock
from catalog.models import Product
from tests.catalog.admin.desk import product_data
from tests.factories import make_category, make_product, make_staff

pytestmark = pytest.mark.django_db


# -- Products ---------------------------------------------------------------------


def test_new_product_gets_stock_with_a_movement_and_inherited_levels(
    admin_client, admin_user
):
    garden = make_category(safety_threshold=3)

    admin_client.post("/admin/catalog/product/add/", product_data(category=garden.pk))

    can = Product.objects.get(sku="CAN")
    assert can.price == Decimal("19.90")
    assert (can.stock.on_hand, can.stock.safety_threshold) == (12, 3)
    assert can.stock.inherits_threshold
    assert can.movements.get().actor == admin_user
    assert can.history.get().history_user == admin_user


def test_new_product_may_bring_levels_of_its_own(admin_client):
    admin_client.post("/admin/catalog/product/add/", product_data(safety_threshold="0"))

    row = Product.objects.get(sku="CAN").stock
    assert not row.inherits_threshold
    assert row.inherits_low_stock_level


def test_moving_a_product_to_another_category_takes_over_its_threshold(admin_client):
    pot = make_product(inherits_threshold=True)
    garden = make_category(safety_threshold=6)

    response = admin_client.post(
        f"/admin/catalog/product/{pot.pk}/change/",
        product_data(sku=pot.sku, category=garden.pk),
    )

    assert response.status_code == 302
    pot.stock.refresh_from_db()
    assert pot.stock.safety_threshold == 6


def test_product_cannot_be_deleted_and_the_page_says_what_to_do(admin_client):
    pot = make_product()

    response = admin_client.post(
        f"/admin/catalog/product/{pot.pk}/delete/", {"post": "yes"}, follow=True
    )

    assert Product.objects.filter(pk=pot.pk).exists()
    assert "Untick “Is published” instead" in response.content.decode()


def test_products_are_taken_out_of_the_shop_in_bulk_with_history(admin_client):
    pot = make_product()

    admin_client.post(
        "/admin/catalog/product/",
        {"action": "unpublish", "_selected_action": [pot.pk], "index": "0"},
    )

    pot.refresh_from_db()
    assert not pot.is_published
    assert not pot.history.first().is_published


def test_product_list_runs_the_same_queries_however_long(
    admin_client, django_assert_num_queries
):
    make_product(category=make_category())
    admin_client.get("/admin/catalog/product/")
    with django_assert_num_queries(4):
        admin_client.get("/admin/catalog/product/")
    for _ in range(12):
        make_product(category=make_category())

    with django_assert_num_queries(4):
        admin_client.get("/admin/catalog/product/")


def test_product_export_has_the_figures_of_the_stock(admin_client):
    pot = make_product("Clay pot", on_hand=9, safety_threshold=2)

    response = admin_client.post(
        "/admin/catalog/product/export/", {"format": "0", "resource": ""}
    )

    header, line = response.content.decode().splitlines()
    exported = dict(zip(header.split(","), line.split(","), strict=True))
    assert exported["sku"] == pot.sku
    assert (exported["on_hand"], exported["sellable"]) == ("9", "7")


# -- Import -----------------------------------------------------------------------


IMPORT = "/admin/catalog/product/import/"


def look_at(client, text):
    file = SimpleUploadedFile("goods.csv", text.encode())
    return client.post(IMPORT, {"upload": "1", "file": file})


def test_import_shows_what_would_change_and_writes_nothing(admin_client):
    pot = make_product("Clay pot", sku="POT", on_hand=10)

    response = look_at(admin_client, "sku,name,price,on_hand\nPOT,Pot,9.99,12\n")

    html = response.content.decode()
    assert "name Clay pot -&gt; Pot" in html
    assert "on_hand 10 -&gt; 12 (+2)" in html
    pot.refresh_from_db()
    assert pot.name == "Clay pot"


def test_import_does_what_was_shown_and_names_the_merchant(admin_client, admin_user):
    pot = make_product("Clay pot", sku="POT", on_hand=10)
    shown = look_at(
        admin_client, "sku,name,price,on_hand\nPOT,Pot,9.99,12\nJUG,Jug,5,1\n"
    )

    response = admin_client.post(IMPORT, {"token": shown.context["token"]}, follow=True)

    assert "1 new, 1 changed, 0 as they were." in response.content.decode()
    movement = pot.movements.first()
    assert (movement.kind, movement.on_hand_after) == ("import", 12)
    assert movement.actor == admin_user
    assert Product.objects.get(sku="JUG").stock.on_hand == 1


def test_import_names_every_bad_line_and_offers_no_button(admin_client):
    response = look_at(
        admin_client,
        "sku,name,price\n,No sku,1\nA,No price,\nB,Odd price,abc\nC,Fine,2\n",
    )

    assert [bad.line for bad in response.context["plan"].bad_lines] == [2, 3, 4]
    assert "Import all of it" not in response.content.decode()
    again = admin_client.post(IMPORT, {"token": response.context["token"]})
    assert again.status_code == 409
    assert not Product.objects.exists()


def test_import_after_the_shop_has_changed_shows_the_new_report_first(admin_client):
    pot = make_product(sku="POT", on_hand=10)
    shown = look_at(admin_client, "sku,on_hand\nPOT,12\n")
    stock.receive(pot.pk, 5, note=stock.Note())

    response = admin_client.post(IMPORT, {"token": shown.context["token"]})

    assert response.status_code == 409
    assert "on_hand 15 -&gt; 12 (-3)" in response.content.decode()
    pot.stock.refresh_from_db()
    assert pot.stock.on_hand == 15


def test_import_report_of_another_person_is_not_mine(admin_client, client):
    make_product(sku="POT", on_hand=10)
    token = look_at(admin_client, "sku,on_hand\nPOT,12\n").context["token"]
    client.force_login(make_staff("owner"))

    response = client.post(IMPORT, {"token": token})

    assert response.status_code == 409
    assert "That report is gone" in response.content.decode()


def test_file_that_is_no_product_file_is_refused_in_words(admin_client):
    response = look_at(admin_client, "colour;taste\nred;sweet\n")

    assert response.status_code == 422
    assert response.context["form"].errors["file"]


def test_export_is_taken_back_without_a_change(admin_client):
    make_product("Clay pot", category=make_category("Garden"), safety_threshold=2)
    exported = admin_client.post("/admin/catalog/product/export/", {"format": "0"})

    plan = look_at(admin_client, exported.content.decode()).context["plan"]

    assert (plan.changes, plan.bad_lines, plan.unchanged) == ([], [], 1)
