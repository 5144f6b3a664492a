"""Stock typed over in the list: counts, levels, choices, saved views."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from catalog import stock, thresholds
from tests.browser.dashboard.pages import DESK, WIDE, stock_of
from tests.factories import (
    make_product,
    make_staff,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]


def test_editing_a_threshold_in_the_list_flips_the_status_and_says_who(staff, owner):
    pot = make_product("Clay pot", on_hand=5, safety_threshold=1)
    page = staff(owner)
    page.goto(reverse(DESK))

    page.get_by_label("Safety threshold: Clay pot", exact=True).fill("5")
    page.keyboard.press("Enter")

    page.get_by_text("was changed successfully").wait_for()
    row = page.locator("tr", has_text="Clay pot")
    row.get_by_text("Out of stock").wait_for()
    row.locator(".field-safety_threshold a").click()
    page.get_by_text("threshold 1 → 5").wait_for()
    expect(page.locator("#content-main")).to_contain_text(owner.username)
    assert stock_of(pot).is_out


def test_counting_in_the_list_asks_for_a_reason_and_says_who(staff, owner):
    pot = make_product("Clay pot", on_hand=5)
    make_product("Jug")
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK))

    box = page.get_by_label("On hand: Clay pot", exact=True)
    box.fill("3")
    page.keyboard.press("Enter")
    page.keyboard.type("two broken")
    page.keyboard.press("Enter")

    page.get_by_text("was changed successfully").wait_for()
    assert stock_of(pot).on_hand == 3
    movement = pot.movements.first()
    assert (movement.reason, movement.actor) == ("two broken", owner)
    expect(page.locator(f"[name='{pot.pk}-on_hand']")).to_be_focused()


def test_keys_of_the_list(staff, owner):
    pot, jug = make_product("Clay pot", on_hand=5), make_product("Jug", on_hand=7)
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK))

    def focused():
        return page.evaluate("document.activeElement.name")

    page.get_by_label("On hand: Clay pot", exact=True).focus()
    page.keyboard.press("ArrowDown")
    assert focused() == f"{jug.pk}-on_hand"
    page.keyboard.press("ArrowUp")
    page.keyboard.type("99")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert focused() == f"{pot.pk}-reason"
    page.keyboard.press("Escape")

    assert focused() == f"{pot.pk}-on_hand"
    expect(page.get_by_label("On hand: Clay pot", exact=True)).to_have_value("5")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.hash") == "#on_hand"
    assert stock_of(pot).on_hand == 5


@pytest.mark.parametrize(("choice", "threshold"), [("Keep 7", 7), ("Use mine, 3", 3)])
def test_conflict_shows_both_numbers_and_lets_the_merchant_choose(
    staff, owner, choice, threshold
):
    pot = make_product("Clay pot", on_hand=50, safety_threshold=1)
    page = staff(owner)
    page.goto(reverse(DESK))
    colleague = make_staff("owner")
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)}, actor=colleague)

    page.get_by_label("Safety threshold: Clay pot", exact=True).fill("3")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text(f"saved by {colleague}").wait_for()
    assert stock_of(pot).safety_threshold == 7
    dialog.get_by_label(choice).check()
    dialog.get_by_role("button", name="Save my choices").click()
    page.get_by_role("dialog").wait_for(state="detached")

    assert stock_of(pot).safety_threshold == threshold
    box = page.get_by_label("Safety threshold: Clay pot", exact=True)
    expect(box).to_have_value(str(threshold))


def test_count_that_lost_a_race_is_a_choice_too(staff, owner):
    pot = make_product("Clay pot", on_hand=10)
    page = staff(owner)
    page.goto(reverse(DESK))
    stock.receive(pot.pk, 5, note=stock.Note())

    page.get_by_label("On hand: Clay pot", exact=True).fill("8")
    page.get_by_label("Reason for the new count: Clay pot").fill("counted")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Keep 15").wait_for()
    dialog.get_by_label("Use mine, 8").check()
    dialog.get_by_role("button", name="Save my choices").click()

    page.get_by_text("was changed successfully").wait_for()
    assert stock_of(pot).on_hand == 8


def test_units_are_received_from_the_list_which_stays(staff, owner):
    pot = make_product("Clay pot", on_hand=10)
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK) + "?o=-on_hand")

    page.get_by_role("link", name="Receive units: Clay pot").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Units that arrived").fill("5")
    dialog.get_by_label("Reason").fill("delivery 7")
    dialog.get_by_role("button", name="Add the units").click()

    page.get_by_text("Clay pot: 5 units added.").wait_for()
    assert page.url.endswith("?o=-on_hand")
    assert stock_of(pot).on_hand == 15


def test_list_works_without_scripts(staff, owner):
    pot = make_product("Clay pot", on_hand=10, safety_threshold=1)
    page = staff(owner, **WIDE)
    cookies = page.context.cookies()
    plain = page.context.browser.new_context(
        base_url=page.url.removesuffix("/healthz"), java_script_enabled=False, **WIDE
    )
    plain.add_cookies(cookies)
    page = plain.new_page()
    page.goto(reverse(DESK))
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)})

    page.get_by_label("On hand: Clay pot", exact=True).fill("8")
    page.get_by_label("Reason for the new count: Clay pot").fill("counted")
    page.get_by_label("Safety threshold: Clay pot", exact=True).fill("3")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_label("Use mine, 8").check()
    page.get_by_label("Keep 7").check()
    page.get_by_role("button", name="Save my choices").click()
    page.get_by_text("was changed successfully").wait_for()

    assert (stock_of(pot).on_hand, stock_of(pot).safety_threshold) == (8, 7)
    page.get_by_label("Status").select_option("out_of_stock")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("No product is like that").wait_for()
    plain.close()


def test_view_is_saved_as_a_tab_and_opens_first(staff, owner):
    make_product("Gone", on_hand=0)
    make_product("Clay pot")
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK))

    page.get_by_label("Status").select_option("out_of_stock")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("Save this view").click()
    page.get_by_label("Name").fill("Empty shelves")
    page.get_by_label("For the whole team").check()
    page.get_by_label("Open the desk with it").check()
    page.get_by_role("button", name="Keep it").click()
    page.get_by_text("is saved").wait_for()
    page.goto(reverse(DESK))

    tab = page.get_by_role("navigation", name="Saved views").get_by_text(
        "Empty shelves"
    )
    expect(tab).to_have_attribute("aria-current", "page")
    expect(page.locator(".data-row")).to_have_count(1)
    page.get_by_role("link", name="All products").click()
    page.get_by_role("link", name="Clay pot", exact=True).wait_for()
