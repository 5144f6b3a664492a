"""Many levels at once: by a rule, from a file, by a default."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from catalog.models import StatusChange, Stock
from tests.browser.dashboard.pages import DESK, WIDE, stock_of
from tests.factories import (
    make_category,
    make_loaded_item,
    make_product,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]


def test_many_levels_change_after_a_preview_and_come_back(staff, owner):
    goods = {
        "Clay pot": make_product("Clay pot", on_hand=5, safety_threshold=1),
        "Jug": make_product("Jug", on_hand=50, inherits_threshold=True),
        "Mug": make_product("Mug", on_hand=9, safety_threshold=9),
        "Lamp": make_product("Lamp", on_hand=8, safety_threshold=5),
    }
    item = make_loaded_item(product=goods["Jug"], units=5)
    kept = ("safety_threshold", "inherits_threshold", "low_stock_level", "status")

    def levels_now():
        rows = Stock.objects.filter(pk__in=[product.pk for product in goods.values()])
        return {row.pk: [getattr(row, name) for name in kept] for row in rows}

    before, flips = levels_now(), StatusChange.objects.count()
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK))

    page.locator("#action-toggle").check()
    page.get_by_role("button", name="Change levels of the ticked ones").click()
    page.get_by_label("Number").fill("5")
    page.get_by_label("Reason").fill("winter")
    page.get_by_role("button", name="Preview").click()
    shown = {
        name: int(page.locator(f"#preview [data-figure={name}]").inner_text())
        for name in ("changes", "out", "back", "sale")
    }
    assert levels_now() == before
    page.get_by_role("button", name="Change them").click()
    page.get_by_role("link", name="the list of level changes").click()
    page.get_by_role("button", name="Undo").first.wait_for()

    after = levels_now()
    pks = [pk for pk in after if after[pk] != before[pk]]
    out = [pk for pk in pks if after[pk][3] == "out_of_stock" != before[pk][3]]
    back = [pk for pk in pks if before[pk][3] == "out_of_stock" != after[pk][3]]
    assert shown == {"changes": 3, "out": 1, "back": 1, "sale": 1}
    assert (len(pks), len(out), len(back)) == (3, 1, 1)
    assert item.product_id in pks
    assert StatusChange.objects.count() == flips + 2
    page.get_by_role("button", name="Undo").first.click()
    page.get_by_text("3 of 3 products are back where they were.").wait_for()
    assert levels_now() == before


def test_levels_from_a_file_are_shown_then_changed(staff, owner):
    pot = make_product("Clay pot", sku="POT", on_hand=5)
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK))

    page.get_by_role("link", name="Levels from a file").click()
    page.locator("input[type=file]").set_input_files(
        {
            "name": "levels.csv",
            "mimeType": "text/csv",
            "buffer": b"sku,safety_threshold\nPOT,5\n",
        }
    )
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview [data-figure=out]")).to_have_text("1")
    page.get_by_role("button", name="Change them").click()
    page.get_by_text("The levels are changed.").wait_for()

    assert stock_of(pot).is_out


def test_default_of_a_category_is_shown_then_changed(staff, owner):
    garden = make_category("Garden")
    pot = make_product("Clay pot", on_hand=5, inherits_threshold=True, category=garden)
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:catalog_category_change", args=[garden.pk]))

    page.locator("#id_safety_threshold").fill("5")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#preview [data-figure=out]")).to_have_text("1")
    assert not stock_of(pot).is_out
    page.get_by_role("button", name="Change them").click()
    page.get_by_text("1 product took over the new numbers").wait_for()

    assert stock_of(pot).is_out
