"""The waiting list in a real Chromium: from sold out to a paid offer."""

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from sales import checkout, counters, flash, sync, waiting_list
from sales.models import WaitingEntry
from tests.browser.test_every_page import problems_here as problems
from tests.browser.test_storefront import NO_SCRIPTS, buy_now
from tests.factories import make_loaded_item

ORDER = re.compile("/orders/")
JOIN = "Join the waiting list"


def hold_all(visit, item):
    """Somebody's page with a hold of the one unit there is."""
    page = visit()
    page.goto(item.sale.get_absolute_url())
    buy_now(page).click()
    expect(page).to_have_url(ORDER)
    sync.drain(item.pk)
    return page


def tick(item):
    sync.drain(item.pk)
    waiting_list.serve(timezone.now())


def join(page, email):
    page.get_by_label("Your e-mail").fill(email)
    page.get_by_role("button", name=JOIN).click()
    expect(page).to_have_url(ORDER)


def test_what_a_holder_gives_back_is_offered_on_the_page_and_paid(visit):
    item = make_loaded_item(units=1)
    holder = hold_all(visit, item)
    page = visit()
    page.goto(item.sale.get_absolute_url())
    join(page, "ann@shop.test")
    expect(page.get_by_text("You are number 1 in the line")).to_be_visible()

    holder.get_by_role("button", name="Cancel and give the units back").click()
    expect(holder.get_by_text("Nothing was charged")).to_be_visible()
    tick(item)

    held = page.get_by_text("Held for you", exact=True)
    expect(held).to_be_visible()
    expect(page.get_by_text("It is your turn")).to_be_visible()
    expect(page.get_by_label("E-mail")).to_have_value("ann@shop.test")
    page.get_by_label("Full name").fill("Ann Ashore")
    page.get_by_label("Street and number").fill("Quay 1")
    page.get_by_label("Postal code").fill("10110")
    page.get_by_label("City").fill("Jakarta")
    page.get_by_label("Country").select_option("ID")
    page.get_by_role("button", name="Pay $").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Paid. Thank you!")).to_be_visible()
    tick(item)
    assert WaitingEntry.objects.get().state == "bought"
    assert counters.snapshot(item.pk).paid == 1


def test_the_line_moves_up_by_itself_and_a_bad_address_is_marked(visit):
    item = make_loaded_item(units=1)
    hold_all(visit, item)
    first, second = visit(), visit()
    for page in (first, second):
        page.goto(item.sale.get_absolute_url())
    join(first, "ann@shop.test")
    second.get_by_label("Your e-mail").fill("nonsense")
    second.get_by_role("button", name=JOIN).click()
    expect(second.get_by_role("alert")).to_contain_text("such as you@example.com")
    join(second, "bob@shop.test")
    expect(second.get_by_text("You are number 2 in the line")).to_be_visible()

    first.get_by_role("button", name="Leave the waiting list").click()
    expect(first.get_by_text("You have left the line")).to_be_visible()

    expect(second.get_by_text("You are number 1 in the line")).to_be_visible()


def test_what_is_typed_outlives_a_change_of_the_box(visit):
    item = make_loaded_item(units=1)
    order_id = hold_all(visit, item).url.split("/")[-2]
    page = visit()
    page.goto(item.sale.get_absolute_url())
    expect(page.get_by_text("All held right now")).to_be_visible()
    page.get_by_label("Your e-mail").fill("ann@sh")

    checkout.finish(checkout.begin_payment(order_id).pk, "paid")

    expect(page.get_by_text("Sold out", exact=True)).to_be_visible()
    expect(page.get_by_label("Your e-mail")).to_have_value("ann@sh")


def test_joining_and_leaving_without_scripts(visit):
    item = make_loaded_item(units=1)
    hold_all(visit, item)
    page = visit(**NO_SCRIPTS)
    page.goto(item.sale.get_absolute_url())
    page.get_by_role("link", name="Type it on a page").click()
    join(page, "ann@shop.test")
    expect(page.get_by_text("You are number 1 in the line")).to_be_visible()
    page.goto("/orders/")
    page.get_by_role("link", name="Your place in line").click()

    page.get_by_role("button", name="Leave the waiting list").click()

    expect(page.get_by_text("You have left the line")).to_be_visible()
    assert flash.live([item.pk])[item.pk].waiting == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_its_pages_are_accessible_and_fit_the_window(visit, width, scheme):
    item = make_loaded_item(units=1, limit=3)
    hold_all(visit, item)
    page = visit(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    seen = []
    for url in (
        item.sale.get_absolute_url(),
        f"{item.sale.get_absolute_url()}{item.pk}/wait/",
    ):
        page.goto(url)
        seen += problems(page, page.url)
    join(page, "ann@shop.test")
    expect(page.get_by_text("You are number 1 in the line")).to_be_visible()
    seen += problems(page, page.url)
    page.goto("/orders/")
    seen += problems(page, page.url)

    assert seen == []
