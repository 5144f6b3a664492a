"""The page of one product's stock: dialogs, promises, history."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from catalog import thresholds
from tests.browser.dashboard.pages import WIDE
from tests.factories import (
    make_order,
    make_product,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]


def test_counting_stock_in_a_dialog(staff, owner):
    pot = make_product("Clay pot", on_hand=10)
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:catalog_stock_change", args=[pot.pk]))

    page.get_by_role("link", name="Adjust on hand").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Units counted").fill("8")
    dialog.get_by_role("button", name="Set the number").click()
    dialog.get_by_text("This field is required").wait_for()
    dialog.get_by_label("Reason").fill("two broken")
    dialog.get_by_role("button", name="Set the number").click()

    page.get_by_text("Clay pot: 8 units on hand.").wait_for()
    expect(page.locator("#on_hand dt b")).to_have_text("8")
    expect(page.get_by_text("two broken")).to_be_visible()


def test_promises_appear_on_the_page_of_a_number(staff, owner):
    pot = make_product(on_hand=10)
    order = make_order(pot, quantity=3)
    page = staff(owner, **WIDE)

    page.goto(reverse("admin:catalog_stock_change", args=[pot.pk]) + "#reserved")

    page.get_by_role("link", name=order.number).first.click()
    page.wait_for_url(f"**{order.pk}**")
    page.get_by_role("heading", name=f"{order.number} Held").wait_for()


def test_history_of_a_product_draws_threshold_and_status_changes(staff, owner):
    pot = make_product("Clay pot", on_hand=5)
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=5)})
    page = staff(owner, **WIDE)

    page.goto(reverse("admin:catalog_stock_change", args=[pot.pk]))
    page.wait_for_load_state("load")

    drawn = page.evaluate(
        "Chart.getChart(document.querySelector('canvas[data-history]'))"
        ".data.datasets.map((set) => [set.label, set.data.length])"
    )
    assert drawn == [
        ["On hand", 2],
        ["Promised", 2],
        ["Safety threshold", 3],
        ["Status changes", 1],
    ]
