"""The shop in a real Chromium: from looking to paying, with and without scripts."""

import re
import time
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from catalog.models import Stock
from sales import counters, flash, sync
from sales.models import Order
from tests.factories import make_loaded_item, make_product, make_sale

ADDRESS = {
    "E-mail": "ann@shop.test",
    "Full name": "Ann Ames",
    "Street and number": "Quay 1",
    "Postal code": "1234",
    "City": "Port",
}
PHONE = {"viewport": {"width": 360, "height": 740}}
NO_SCRIPTS = {"java_script_enabled": False}


def fill_address(page):
    for label, text in ADDRESS.items():
        page.get_by_label(label).fill(text)
    page.get_by_label("Country").select_option("ID")


def pay(page):
    page.get_by_role("button", name="Pay $").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Paid. Thank you!")).to_be_visible()


def buy_now(page):
    return page.get_by_role("button", name="Buy now")


def expect_hold(page):
    """The order's page says so; a sale's page has the same words in a sentence."""
    expect(page.locator("#order-state")).to_contain_text("Held for you")


def open_now(item):
    """Have the item's sale begin, on the server alone."""
    now = int(time.time() * 1000)
    counters.client().hset(counters.keys(item.pk)[0], "opens_at", now)


def stop_polls(page):
    """The page does not find out by itself what changes from now on."""
    page.route("**/flash/**state=**", lambda route: route.fulfill(status=204))


@pytest.mark.parametrize("options", [{}, NO_SCRIPTS], ids=["scripts", "no scripts"])
def test_from_search_to_a_paid_order(visit, options):
    product = make_product("Clay pot", on_hand=5)
    page = visit(**options)

    page.goto("/")
    page.get_by_role("searchbox", name="Search the shop").fill("clay")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Clay pot").click()
    page.get_by_label("Quantity").fill("2")
    page.get_by_role("button", name="Add to cart").click()
    if not options:
        page.get_by_role("link", name="Go to the cart").click()
    page.get_by_role("link", name="Go to checkout").click()
    fill_address(page)
    page.get_by_role("button", name="Order and hold").click()
    expect_hold(page)
    pay(page)

    assert Order.objects.get().state == "paid"
    assert Stock.objects.get(pk=product.pk).on_hand == 3


@pytest.mark.parametrize("options", [{}, NO_SCRIPTS], ids=["scripts", "no scripts"])
def test_from_a_flash_claim_to_a_paid_order(visit, options):
    item = make_loaded_item(units=3, limit=2)
    page = visit(**options)

    page.goto(item.sale.get_absolute_url())
    page.get_by_label("Quantity").fill("2")
    buy_now(page).click()
    expect_hold(page)
    fill_address(page)
    pay(page)

    sync.drain(item.pk)
    order = Order.objects.get()
    assert (order.state, order.total, order.city) == ("paid", 10, "Port")


def test_nobody_buys_below_the_threshold(visit):
    product = make_product("Clay pot", on_hand=5, safety_threshold=2)
    page = visit()

    page.goto(product.get_absolute_url())
    page.get_by_label("Quantity").fill("4")
    page.get_by_role("button", name="Add to cart").click()
    expect(page.get_by_text("Only 3 units can be had now")).to_be_visible()
    page.get_by_label("Quantity").fill("3")
    page.get_by_role("button", name="Add to cart").click()
    page.get_by_role("link", name="Go to the cart").click()
    page.get_by_role("link", name="Go to checkout").click()
    fill_address(page)
    page.get_by_role("button", name="Order and hold").click()
    pay(page)
    page.goto(product.get_absolute_url())

    expect(page.get_by_text("Out of stock", exact=True)).to_be_visible()
    assert Stock.objects.get(pk=product.pk).on_hand == 2


def test_a_sale_opens_and_sells_out_while_somebody_looks(visit):
    item = make_loaded_item(units=1, sale=make_sale(opens_in=600, state="scheduled"))
    page = visit()
    page.clock.install()

    page.goto(item.sale.get_absolute_url())
    expect(page.locator(f"#flash-live-{item.pk}")).to_contain_text("Opens in")
    expect(buy_now(page)).to_have_count(0)
    open_now(item)
    page.clock.fast_forward(600_000)
    expect(buy_now(page)).to_be_visible()
    flash.claim(item.pk, order_id=uuid4(), buyer="somebody", quantity=1)

    expect(page.get_by_text("All held right now")).to_be_visible()
    expect(buy_now(page)).to_have_count(0)


def test_a_late_click_is_answered_with_a_sentence(visit):
    item = make_loaded_item(units=1)
    page = visit()
    stop_polls(page)
    page.goto(item.sale.get_absolute_url())
    flash.claim(item.pk, order_id=uuid4(), buyer="somebody", quantity=1)

    buy_now(page).click()

    expect(page.get_by_role("alert")).to_contain_text("Every unit is held")


def test_a_double_click_is_one_claim_and_the_way_back_shows_it(visit):
    item = make_loaded_item(units=5, limit=5)
    page = visit()
    page.goto(item.sale.get_absolute_url())

    buy_now(page).dblclick()
    expect(page).to_have_url(re.compile("/orders/"))
    page.go_back()

    expect(page.get_by_text("4 left")).to_be_visible()
    assert counters.snapshot(item.pk).held == 1


def test_cancelling_gives_the_unit_back_and_it_can_be_claimed_again(visit):
    item = make_loaded_item(units=1)
    page = visit()
    page.goto(item.sale.get_absolute_url())
    buy_now(page).click()

    page.get_by_role("button", name="Cancel and give").click()
    expect(page.get_by_text("Cancelled")).to_be_visible()
    assert counters.snapshot(item.pk).sellable == 1
    page.get_by_role("button", name="Try to get it again").click()

    expect_hold(page)


def test_a_claim_works_by_keyboard_alone(visit):
    item = make_loaded_item(units=5)
    page = visit()
    page.goto(item.sale.get_absolute_url())

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(5):
        page.keyboard.press("Tab")
        if buy_now(page).evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")

    expect_hold(page)
