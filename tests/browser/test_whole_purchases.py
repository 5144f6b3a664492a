"""Whole purchases: from the countdown, on a phone, by keyboard, and too late."""

import re

import pytest
from playwright.sync_api import expect

from catalog.models import Stock
from sales import counters, flash, sync
from sales.models import Order
from tests.browser.test_storefront import (
    ADDRESS,
    PHONE,
    buy_now,
    fill_address,
    open_now,
    pay,
)
from tests.factories import make_loaded_item, make_product, make_sale

ORDER = re.compile("/orders/")
PAYMENT = re.compile("/pay/")
MOST_TABS = 60


def press_on(page, target):
    """Go to the target by Tab alone, and press Enter on it."""
    tab_to(page, target)
    page.keyboard.press("Enter")


def tab_to(page, target):
    expect(target).to_be_visible()
    target.page.wait_for_load_state()  # or Enter would do what it does without scripts
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not get to {target}")


def type_address(page):
    for label, text in ADDRESS.items():
        tab_to(page, page.get_by_label(label))
        page.keyboard.type(text)
    tab_to(page, page.get_by_label("Country"))
    page.keyboard.type("Indonesia")


def pay_by_keyboard(page):
    press_on(page, page.get_by_role("button", name="Pay $"))
    expect(page).to_have_url(PAYMENT)
    press_on(page, page.get_by_role("button", name="Approve"))
    expect(page.get_by_text("Paid. Thank you!")).to_be_visible()


@pytest.mark.parametrize("options", [{}, PHONE], ids=["wide", "phone"])
def test_from_the_countdown_over_the_hold_to_a_paid_order(visit, options):
    sale = make_sale(opens_in=600, state="scheduled")
    item = make_loaded_item(units=2, sale=sale)
    page = visit(**options)
    page.clock.install()

    page.goto(sale.get_absolute_url())
    expect(page.locator(f"#flash-live-{item.pk}").get_by_role("timer")).to_be_visible()
    expect(buy_now(page)).to_have_count(0)
    open_now(item)
    page.clock.fast_forward(600_000)
    buy_now(page).click()
    expect(page).to_have_url(ORDER)
    expect(page.locator("#order-state").get_by_role("timer")).to_be_visible()
    fill_address(page)
    pay(page)

    sync.drain(item.pk)
    assert Order.objects.get().state == "paid"
    assert counters.snapshot(item.pk).paid == 1


def test_a_claim_does_not_wait_for_a_poll_under_way(visit):
    item = make_loaded_item(units=1)
    page = visit()
    page.route("**/live/?**", lambda route: None)  # it is never answered
    with page.expect_request("**/live/?**"):
        page.goto(item.sale.get_absolute_url())

    buy_now(page).click()

    expect(page).to_have_url(ORDER)
    assert counters.snapshot(item.pk).held == 1


def test_it_sells_out_while_somebody_looks(visit):
    item = make_loaded_item(units=1)
    buyer, page = visit(), visit()
    for visitor in (buyer, page):
        visitor.goto(item.sale.get_absolute_url())
    expect(buy_now(page)).to_be_visible()

    buy_now(buyer).click()
    expect(buyer).to_have_url(ORDER)
    fill_address(buyer)
    pay(buyer)

    sold_out = page.locator(f"#flash-live-{item.pk}").get_by_text("Sold out")
    expect(sold_out).to_be_visible()
    expect(buy_now(page)).to_have_count(0)
    expect(page.get_by_role("button", name="Join the waiting list")).to_be_visible()


def test_all_held_becomes_free_again_while_somebody_looks(visit):
    item = make_loaded_item(units=1)
    buyer, page = visit(), visit()
    buyer.goto(item.sale.get_absolute_url())
    buy_now(buyer).click()
    expect(buyer).to_have_url(ORDER)
    page.goto(item.sale.get_absolute_url())
    expect(buy_now(page)).to_have_count(0)

    buyer.get_by_role("button", name="Cancel and give the units back").click()

    expect(buy_now(page)).to_be_visible()
    assert flash.live([item.pk])[item.pk].sellable == 1


def test_a_flash_purchase_by_keyboard_alone(visit):
    item = make_loaded_item(units=5)
    page = visit()
    page.goto(item.sale.get_absolute_url())

    press_on(page, buy_now(page))
    expect(page).to_have_url(ORDER)
    type_address(page)
    pay_by_keyboard(page)

    sync.drain(item.pk)
    order = Order.objects.get()
    assert (order.state, order.city, order.country) == ("paid", "Port", "ID")


def test_a_regular_purchase_by_keyboard_alone(visit):
    product = make_product("Clay pot", on_hand=5)
    page = visit()
    page.goto("/")

    tab_to(page, page.get_by_role("searchbox", name="Search the shop"))
    page.keyboard.type("clay")
    page.keyboard.press("Enter")
    press_on(page, page.get_by_role("link", name="Clay pot"))
    press_on(page, page.get_by_role("button", name="Add to cart"))
    press_on(page, page.get_by_role("link", name="Go to the cart"))
    press_on(page, page.get_by_role("link", name="Go to checkout"))
    type_address(page)
    press_on(page, page.get_by_role("button", name="Order and hold"))
    expect(page).to_have_url(ORDER)
    pay_by_keyboard(page)

    assert Stock.objects.get(pk=product.pk).on_hand == 4


def test_a_regular_purchase_on_a_phone(visit):
    product = make_product("Clay pot", on_hand=5)
    page = visit(**PHONE, has_touch=True, is_mobile=True)
    page.goto(product.get_absolute_url())

    page.get_by_role("button", name="Add to cart").tap()
    page.get_by_role("link", name="Go to the cart").tap()
    page.get_by_role("link", name="Go to checkout").tap()
    fill_address(page)
    page.get_by_role("button", name="Order and hold").tap()
    expect(page).to_have_url(ORDER)
    page.get_by_role("button", name="Pay $").tap()
    page.get_by_role("button", name="Approve").tap()

    expect(page.get_by_text("Paid. Thank you!")).to_be_visible()
    order = Order.objects.get()
    assert order.state == "paid"
