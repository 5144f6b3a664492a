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
    open_now,
    pay,
)
from tests.factories import make_roomy_item


def join(page, item):
    page.goto(item.sale.get_absolute_url())
    page.get_by_role("button", name="Join the waiting room").click()


def expect_room(page, words):
    """What the room itself says; the page says it aloud in other words."""
    expect(page.locator("#waiting-room")).to_contain_text(words)


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
    expect_room(first, "It is your turn.")
    join(second, item)
    expect_room(second, "You are number 1.")
    expect(buy_now(second)).to_have_count(0)

    if options:
        first.reload()  # such a page comes anew every ten seconds, also under a click
    buy_now(first).click()
    fill_address(first)
    pay(first)

    if options:
        second.reload()
    expect_room(second, "Sold out, so the waiting room is closed")
    expect(buy_now(second)).to_have_count(0)


def test_the_turn_comes_by_itself_when_somebody_leaves(visit):
    item = make_roomy_item(units=1)
    first, second = visit(), visit()
    join(first, item)
    expect_room(first, "It is your turn.")
    join(second, item)
    expect_room(second, "You are number 1.")

    first.get_by_role("button", name="Let the next person in").click()

    expect(buy_now(first)).to_have_count(0)
    expect(buy_now(second)).to_be_visible()
    buy_now(second).click()
    expect(second).to_have_url(re.compile("/orders/"))


def test_who_joined_early_goes_in_when_the_sale_opens(visit):
    item = make_roomy_item(units=1, opens_in=600)
    page = visit()
    page.clock.install()

    join(page, item)
    expect_room(page, "You have joined.")
    open_now(item)
    page.clock.fast_forward(600_000)

    expect_room(page, "It is your turn.")
    expect(buy_now(page)).to_be_visible()


def test_an_item_that_was_being_asked_for_when_the_turn_came_can_be_bought_at_once(
    visit,
):
    item = make_roomy_item(units=1, opens_in=600)
    page = visit()
    page.clock.install()
    with page.expect_response("**/live/?**"):
        join(page, item)
    of_room, of_item = [], []

    def hold_item(route):
        of_item.append((route, route.fetch()))
        let_room_go_on()

    def hold_room(route):
        of_room.append(route)
        let_room_go_on()

    def let_room_go_on():
        if of_room and of_item:
            of_room.pop().continue_()

    page.route("**/live/?state=not_started**", hold_item)
    page.route("**/waiting-room/?state=early", hold_room)

    open_now(item)
    page.clock.fast_forward(600_000)
    while not of_item:
        page.clock.run_for(1000)
    expect_room(page, "It is your turn.")
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 30)  # it goes on till then
    ((route, too_early),) = of_item
    route.fulfill(response=too_early)
    expect(page.get_by_role("link", name="To the waiting room")).to_be_visible()
    page.clock.run_for(1000)  # sooner than the next look

    expect(buy_now(page)).to_be_visible()


def test_a_look_at_the_room_takes_away_neither_a_click_nor_the_focus(visit):
    item = make_roomy_item(units=1, opens_in=600)
    page = visit()
    page.clock.install()
    join(page, item)
    leave = page.get_by_role("button", name="Leave the waiting room")
    leave.focus()
    page.evaluate(
        "document.addEventListener('htmx:afterRequest', (event) => {"
        " if (event.detail.requestConfig.elt.id !== 'waiting-room') return;"
        " document.body.dataset.looks = 1 + Number(document.body.dataset.looks || 0) })"
    )

    page.clock.fast_forward(30_000)
    expect(page.locator("body")).to_have_attribute("data-looks", "1")
    expect(leave).to_be_focused()

    leave.hover()
    page.mouse.down()
    page.clock.fast_forward(30_000)
    expect(page.locator("body")).to_have_attribute("data-looks", "2")
    page.mouse.up()

    expect(page.get_by_role("button", name="Join the waiting room")).to_be_visible()


def test_a_room_that_is_turned_off_lets_who_waits_buy_without_a_click(visit):
    item = make_roomy_item(units=1)
    first, second = visit(), visit()
    join(first, item)
    expect_room(first, "It is your turn.")
    join(second, item)
    expect_room(second, "You are number 1.")

    waiting_room.turn(item.sale_id, is_on=False)

    assert not FlashSale.objects.get(pk=item.sale_id).has_waiting_room
    expect(buy_now(second)).to_be_visible()
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
    expect_room(first, "It is your turn.")
    found["inside"] = problems(first)
    join(second, item)
    expect_room(second, "You are number 1.")
    found["waiting"] = problems(second)
    join(early, soon)
    expect_room(early, "You have joined.")
    found["early"] = problems(early)

    assert found == {state: [] for state in found}
