import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from catalog import level_files, stock, thresholds
from catalog.files import workbooks
from catalog.models import ThresholdChange
from tests.factories import make_category, make_product, make_staff

pytestmark = pytest.mark.django_db

FILE = "/admin/catalog/stock/levels/"


def look_at(client, text, **typed):
    file = SimpleUploadedFile("levels.csv", text.encode())
    return client.post(FILE, {"upload": "1", "file": file, **typed})


def agree(client, shown):
    context = shown.context
    return client.post(FILE, {"token": context["token"], "mark": context["plan"].mark})


def levels_of(product):
    product.stock.refresh_from_db()
    return product.stock.safety_threshold, product.stock.low_stock_level


def test_file_is_previewed_with_numbers_and_writes_nothing(admin_client):
    pot = make_product("Clay pot", sku="POT", on_hand=5)
    make_product("Jug", sku="JUG", on_hand=5, safety_threshold=9)
    stock.allocate(pot.pk, 2, note=stock.Note())

    shown = look_at(admin_client, "sku,safety_threshold\nPOT,5\nJUG,1\n")

    plan = shown.context["plan"]
    assert (len(plan.changes), plan.becoming_out, plan.coming_back, plan.in_sale) == (
        2,
        1,
        1,
        1,
    )
    assert levels_of(pot) == (0, 0)


def test_file_does_what_was_shown_as_one_batch_that_can_be_undone(
    admin_client, admin_user
):
    pot = make_product(sku="POT", on_hand=5, safety_threshold=1)
    jug = make_product(sku="JUG", on_hand=5, low_stock_level=3)
    shown = look_at(
        admin_client,
        "SKU;Safety threshold;Low stock level\nPOT;5;2\nJUG;0;4\n",
        reason="winter",
    )

    response = agree(admin_client, shown)

    assert response.status_code == 302
    assert (levels_of(pot), levels_of(jug)) == ((5, 2), (0, 4))
    assert pot.stock.is_out
    batches = {(c.batch, c.actor, c.reason) for c in ThresholdChange.objects.all()}
    ((batch, actor, reason),) = batches
    assert (actor, reason) == (admin_user, "winter")
    thresholds.undo(batch)
    assert (levels_of(pot), levels_of(jug)) == ((1, 0), (0, 3))
    assert not pot.stock.is_out


def test_empty_cell_inherits_and_a_missing_column_is_left_alone(admin_client):
    garden = make_category(safety_threshold=4)
    pot = make_product(
        sku="POT", safety_threshold=1, low_stock_level=7, category=garden
    )

    agree(admin_client, look_at(admin_client, "sku,safety_threshold\nPOT,\n"))

    assert levels_of(pot) == (4, 7)
    assert pot.stock.inherits_threshold
    assert not pot.stock.inherits_low_stock_level


def test_bad_lines_are_named_and_nothing_is_offered(admin_client):
    pot = make_product(sku="POT")
    shown = look_at(
        admin_client,
        "sku,safety_threshold\nPOT,5\nGONE,1\nPOT,2\nPOT,many\nPOT,-1\n",
    )

    numbers = [bad.number for bad in shown.context["found"].bad_lines]
    assert numbers == [3, 4, 5, 6]
    assert "Change them" not in shown.content.decode()
    assert levels_of(pot) == (0, 0)


@pytest.mark.parametrize(
    "text",
    [
        "colour,taste\nred,sweet\n",
        "sku\nPOT\n",
        "",
        "sku,sku,low_stock_level\nPOT,POT,1\n",
        "sku,safety_treshold,low_stock_level\nPOT,1,1\n",
    ],
)
def test_file_without_levels_is_refused_in_words(admin_client, text):
    response = look_at(admin_client, text)

    assert response.status_code == 422
    assert response.context["form"].errors["file"]


def test_column_that_is_misspelt_is_named_with_the_one_it_may_mean(admin_client):
    response = look_at(admin_client, "sku,safety_treshold\nPOT,1\n")

    (sentence,) = response.context["form"].errors["file"]
    assert '"safety_treshold" (do you mean “safety_threshold”?)' in sentence


def test_file_is_read_while_somebody_waits_so_a_long_one_is_refused(
    admin_client, monkeypatch
):
    make_product(sku="POT")
    monkeypatch.setattr(level_files, "MOST_LINES", 2)
    two = "sku,safety_threshold\nPOT,1\n\nJUG,1\n"

    assert look_at(admin_client, two).status_code == 200
    response = look_at(admin_client, two + "MUG,1\n")

    assert response.status_code == 422
    assert "more than 2 lines" in response.context["form"].errors["file"][0]


def test_file_of_more_than_two_megabytes_is_refused_unread(admin_client):
    response = look_at(admin_client, "sku,safety_threshold\n" + " " * 2 * 1024 * 1024)

    assert response.status_code == 422
    assert "larger than 2 MB" in response.context["form"].errors["file"][0]


def test_workbook_of_levels_is_read_like_the_file(admin_client):
    pot = make_product(sku="POT", on_hand=5)
    book = io.BytesIO()
    workbooks.write(book, [["sku", "safety_threshold"], ["POT", "5"]])
    file = SimpleUploadedFile("levels.xlsx", book.getvalue())

    shown = admin_client.post(FILE, {"upload": "1", "file": file})
    agree(admin_client, shown)

    assert levels_of(pot)[0] == 5


def test_file_after_the_stock_has_changed_shows_what_would_happen_now(admin_client):
    pot = make_product(sku="POT", on_hand=5)
    shown = look_at(admin_client, "sku,safety_threshold\nPOT,5\n")
    stock.receive(pot.pk, 10, note=stock.Note())

    response = agree(admin_client, shown)

    assert response.status_code == 409
    assert response.context["plan"].becoming_out == 0
    assert levels_of(pot) == (0, 0)
    agree(admin_client, response)
    assert levels_of(pot) == (5, 0)


def test_preview_of_another_person_is_not_mine(admin_client, client):
    pot = make_product(sku="POT", on_hand=5)
    shown = look_at(admin_client, "sku,safety_threshold\nPOT,5\n")
    client.force_login(make_staff("owner"))

    assert agree(client, shown).status_code == 409
    assert levels_of(pot) == (0, 0)


def test_export_of_the_products_is_a_file_of_levels(admin_client):
    pot = make_product("Clay pot", sku="POT", on_hand=9, safety_threshold=2)
    exported = admin_client.post("/admin/catalog/product/export/", {"format": "0"})
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=5)})

    agree(admin_client, look_at(admin_client, exported.content.decode()))

    assert levels_of(pot) == (2, 0)


def test_preview_is_applied_once(admin_client):
    make_product(sku="POT", on_hand=5)
    shown = look_at(admin_client, "sku,safety_threshold\nPOT,5\n")
    agree(admin_client, shown)

    assert agree(admin_client, shown).status_code == 409
    assert ThresholdChange.objects.count() == 1
