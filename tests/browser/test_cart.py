"""The cart in a real Chromium, with what is held in a flash sale beside it."""

import pytest
from playwright.sync_api import expect

from sales import counters
from tests.browser.test_holds import ORDER, end_hold
from tests.browser.test_storefront import NO_SCRIPTS, buy_now
from tests.factories import make_loaded_item, make_product


@pytest.mark.parametrize("options", [{}, NO_SCRIPTS], ids=["scripts", "no scripts"])
def test_a_hold_is_paid_or_given_back_from_the_cart(visit, options):
    item = make_loaded_item(product=make_product("Kite", on_hand=5))
    page = visit(**options)
    page.goto(item.sale.get_absolute_url())
    buy_now(page).click()
    expect(page).to_have_url(ORDER)

    page.goto("/cart/")
    page.get_by_role("link", name="Pay: Kite").click()
    expect(page.get_by_role("button", name="Pay $5.00")).to_be_visible()
    page.goto("/cart/")
    page.get_by_role("button", name="Give back: Kite").click()

    expect(page.get_by_text("The units went back")).to_be_visible()
    expect(page.get_by_role("link", name="Pay: Kite")).to_have_count(0)
    assert counters.snapshot(item.pk).held == 0


def test_a_hold_that_ends_leaves_the_cart_by_itself(visit):
    item = make_loaded_item(product=make_product("Kite"))
    page = visit()
    page.clock.install()
    page.goto(item.sale.get_absolute_url())
    buy_now(page).click()
    expect(page).to_have_url(ORDER)

    page.goto("/cart/")
    expect(page.get_by_role("link", name="Pay: Kite")).to_be_visible()
    end_hold(item, page)

    expect(page.get_by_role("link", name="Pay: Kite")).to_have_count(0)
