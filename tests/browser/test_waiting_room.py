"""The waiting room in a real Chromium: two people, one unit, no scripts."""

import re

import pytest
from playwright.sync_api import expect

from sales import waiting_room
from sales.models import FlashSale
from tests.browser.test_every_page import AXE
from tests.browser.test_storefront import (
    NO_SCRIPTS,
    PHONE,
    buy_now,
    fill_address,
    pay,
)
from tests.factories import make_roomy_item

pytestmark = pytest.mark.usefixtures("room_server")


def join(page, item):
    page.goto(item.sale.get_absolute_url())
    page.get_by_role("button", name="Join the waiting room").click()


def problems(page):
    """What axe-core finds serious, and a page that is wider than its window."""
    page.evaluate(AXE)
    results = page.evaluate("axe.run({resultTypes: ['violations']})")
    found = [
        f"{violation['id']}: {node['html']}"
        for violation in results["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
    width = page.evaluate("document.documentElement.scrollWidth")
    if width > page.viewport_size["width"]:
        found.append(f"{width} wide")
    return found


@pytest.mark.parametrize("options", [{}, NO_SCRIPTS], ids=["scripts", "no scripts"])
def test_the_first_goes_in_and_buys_and_the_second_sees_the_place_until_it_is_sold_out(
    visit, options
):
    item = make_roomy_item(units=1)
    first, second = visit(**options), visit(**options)

    join(first, item)
    expect(first.get_by_text("It is your turn.")).to_be_visible()
    join(second, item)
    expect(second.get_by_text("You are number 1.")).to_be_visible()
    expect(buy_now(second)).to_have_count(0)

    buy_now(first).click()
    fill_address(first)
    pay(first)

    if options:
        second.reload()
    expect(second.get_by_text("Sold out, so the waiting room is closed")).to_be_visible(
        timeout=15_000
    )
    expect(buy_now(second)).to_have_count(0)


def test_the_turn_comes_by_itself_when_somebody_leaves(visit):
    item = make_roomy_item(units=1)
    first, second = visit(), visit()
    join(first, item)
    expect(first.get_by_text("It is your turn.")).to_be_visible()
    join(second, item)
    expect(second.get_by_text("You are number 1.")).to_be_visible()

    first.get_by_role("button", name="Let the next person in").click()

    expect(buy_now(first)).to_have_count(0)
    expect(buy_now(second)).to_be_visible(timeout=15_000)
    buy_now(second).click()
    expect(second).to_have_url(re.compile("/orders/"))


def test_who_joined_early_goes_in_when_the_sale_opens(visit):
    item = make_roomy_item(units=1, opens_in=6)
    page = visit()

    join(page, item)
    expect(page.get_by_text("You have joined.")).to_be_visible()

    expect(page.get_by_text("It is your turn.")).to_be_visible(timeout=20_000)
    expect(buy_now(page)).to_be_visible(timeout=15_000)


def test_a_room_that_is_turned_off_lets_who_waits_buy_without_a_click(visit):
    item = make_roomy_item(units=1)
    first, second = visit(), visit()
    join(first, item)
    expect(first.get_by_text("It is your turn.")).to_be_visible()
    join(second, item)
    expect(second.get_by_text("You are number 1.")).to_be_visible()

    waiting_room.turn(item.sale_id, is_on=False)

    assert not FlashSale.objects.get(pk=item.sale_id).has_waiting_room
    expect(buy_now(second)).to_be_visible(timeout=15_000)
    expect(second.get_by_role("heading", name="Waiting room")).to_have_count(0)
    expect(second.locator("#announce")).not_to_be_empty()


@pytest.mark.parametrize("options", [{}, PHONE], ids=["wide", "phone"])
def test_every_state_of_the_room_is_accessible_and_fits(visit, options):
    item = make_roomy_item(units=1)
    soon = make_roomy_item(opens_in=600)
    first, second, early = visit(**options), visit(**options), visit(**options)

    first.goto(item.sale.get_absolute_url())
    found = {"outside": problems(first)}
    join(first, item)
    expect(first.get_by_text("It is your turn.")).to_be_visible()
    found["inside"] = problems(first)
    join(second, item)
    expect(second.get_by_text("You are number 1.")).to_be_visible()
    found["waiting"] = problems(second)
    join(early, soon)
    expect(early.get_by_text("You have joined.")).to_be_visible()
    found["early"] = problems(early)

    assert found == {state: [] for state in found}
