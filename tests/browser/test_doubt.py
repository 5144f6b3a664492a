"""A claim whose answer was lost, in a real Chromium: the page finds out by itself."""

from uuid import UUID

import pytest
from playwright.sync_api import expect

from sales import counters, flash, recovery
from tests.browser.test_holds import ORDER
from tests.browser.test_storefront import NO_SCRIPTS, buy_now
from tests.factories import make_loaded_item


@pytest.mark.parametrize("options", [{}, NO_SCRIPTS], ids=["scripts", "no scripts"])
def test_checking_your_order_resolves_itself(visit, sale_redis, options):
    item = make_loaded_item(units=3)
    page = visit(**options)
    page.goto(item.sale.get_absolute_url())
    sale_redis.script_flush()  # as after a restart

    buy_now(page).click()
    expect(page.get_by_text("Checking your order").first).to_be_visible()
    recovery.heal()
    if options:
        page.get_by_role("button", name="Ask again").click()

    expect(page).to_have_url(ORDER)
    assert counters.snapshot(item.pk).held == 1


def test_an_order_that_is_found_meanwhile_is_shown_without_asking(visit, sale_redis):
    item = make_loaded_item(units=3)
    page = visit(**NO_SCRIPTS)
    page.goto(item.sale.get_absolute_url())
    order_id = UUID(page.locator("[name=order_id]").first.input_value())
    sale_redis.script_flush()
    buy_now(page).click()
    expect(page.get_by_role("heading", name="Checking your order")).to_be_visible()

    recovery.heal()
    flash.claim(item.pk, order_id=order_id, buyer="g:1", quantity=1)

    expect(page).to_have_url(ORDER)
