"""Holds in a real Chromium: they end, they change, and tabs and the way back agree."""

import re
from uuid import uuid4

from django.conf import settings
from django.utils import timezone
from playwright.sync_api import expect

from sales import checkout, counters, flash, sync, tags
from sales.models import Order
from tests.browser.test_storefront import NO_SCRIPTS, buy_now, expect_hold
from tests.factories import make_loaded_item

ORDER = re.compile("/orders/")


def end_hold(item, page):
    """Let the time of the item's only hold be up: on the servers, then on the page."""
    sync.drain(item.pk)
    order, now = Order.objects.get(), timezone.now()
    key, order_id = counters.keys(item.pk)[1], str(order.pk)
    state, buyer, quantity, _, *rest = counters.client().hget(key, order_id).split("|")
    claim = [state, buyer, quantity, str(int(now.timestamp() * 1000)), *rest]
    counters.client().hset(key, order_id, "|".join(claim))
    Order.objects.update(expires_at=now)
    page.clock.fast_forward(settings.SHOP_FLASH_HOLD_SECONDS * 1000)


def test_a_hold_ends_on_its_page_and_can_be_had_again(visit):
    item = make_loaded_item(units=1)
    page = visit()
    page.clock.install()
    page.goto(item.sale.get_absolute_url())
    buy_now(page).click()
    expect_hold(page)

    end_hold(item, page)
    expect(page.get_by_text("The hold has ended")).to_be_visible()
    assert checkout.expire_due(timezone.now()) == 1
    page.get_by_role("button", name="Try to get it again").click()

    expect_hold(page)
    assert counters.snapshot(item.pk).held == 1


def test_all_held_says_when_the_next_hold_ends_and_goes_on_by_itself(
    visit, monkeypatch
):
    monkeypatch.setattr(tags, "KEPT_SECONDS", 600)  # no tick writes them again here
    item = make_loaded_item(units=1)
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer="somebody", quantity=1)
    sync.drain(item.pk)
    tags.write()
    page = visit()

    page.goto(item.sale.get_absolute_url())
    expect(page.get_by_text("Next hold ends in")).to_be_visible()
    checkout.cancel(order_id)

    expect(buy_now(page)).to_be_visible()
    expect(page.get_by_text("Next hold ends in")).to_have_count(0)


def test_two_tabs_share_one_hold_and_may_change_it(visit):
    item = make_loaded_item(units=5, limit=3)
    first = visit()
    first.goto(item.sale.get_absolute_url())
    second = first.context.new_page()
    second.goto(item.sale.get_absolute_url())

    buy_now(first).click()
    expect(first).to_have_url(ORDER)
    buy_now(second).click()
    expect(second.get_by_role("alert")).to_contain_text("You hold 1 of these already.")
    assert counters.snapshot(item.pk).held == 1
    second.get_by_label("Quantity in all").fill("3")
    second.get_by_role("button", name="Change to this number").click()

    expect(second).to_have_url(ORDER)
    expect_hold(second)
    assert counters.snapshot(item.pk).held == 3
    first.reload()
    expect(first.get_by_text("Cancelled")).to_be_visible()


def test_the_way_back_after_a_claim_leads_to_the_hold(visit):
    item = make_loaded_item(units=5, limit=3)
    page = visit()
    page.goto(item.sale.get_absolute_url())
    buy_now(page).click()
    expect(page).to_have_url(ORDER)
    order_url = page.url

    page.go_back()
    expect(page.get_by_text("You hold 1 of these.")).to_be_visible()
    buy_now(page).click()
    page.get_by_role("link", name="Keep it and go to your order").click()

    expect(page).to_have_url(order_url)
    assert counters.snapshot(item.pk).held == 1


def test_a_hold_is_changed_without_scripts(visit):
    item = make_loaded_item(units=5, limit=3)
    page = visit(**NO_SCRIPTS)
    page.goto(item.sale.get_absolute_url())
    buy_now(page).click()
    expect(page).to_have_url(ORDER)
    page.goto(item.sale.get_absolute_url())

    buy_now(page).click()
    page.get_by_label("Quantity in all").fill("2")
    page.get_by_role("button", name="Change to this number").click()

    expect(page).to_have_url(ORDER)
    assert counters.snapshot(item.pk).held == 2
