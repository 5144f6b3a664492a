"""Nothing on a page moves by itself while the page loads."""

import pytest
from playwright.sync_api import expect

from tests.browser.test_storefront import PHONE, buy_now
from tests.factories import make_loaded_item, make_product

WIDE = {"viewport": {"width": 1280, "height": 800}}
MOST = 0.01  # of the window, times how far it moved; Chromium calls 0.1 good
MOVED = """() => new Promise((found) => {
  let sum = 0;
  const add = (entries) => { for (const entry of entries) sum += entry.value; };
  const observer = new PerformanceObserver((list) => add(list.getEntries()));
  observer.observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => requestAnimationFrame(() => {
    add(observer.takeRecords());
    found(sum);
  }));
})"""


@pytest.mark.parametrize("options", [WIDE, PHONE], ids=["wide", "phone"])
def test_what_comes_later_moves_nothing(visit, options):
    item = make_loaded_item(product=make_product("Clay pot", on_hand=30), units=5)
    page = visit(**options)
    moved = {}

    for address in ("/", "/products/", "/flash/", item.sale.get_absolute_url()):
        page.goto(address)
        moved[address] = page.evaluate(MOVED)
    page.goto(address := item.product.get_absolute_url())
    expect(buy_now(page)).to_be_visible()  # the offer came after the page
    moved[address] = page.evaluate(MOVED)

    assert {address: sum for address, sum in moved.items() if sum > MOST} == {}
