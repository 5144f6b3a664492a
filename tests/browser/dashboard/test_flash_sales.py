"""A flash sale from its plan to its pause, with live numbers."""

from uuid import uuid4

import pytest
from django.urls import reverse

from sales import flash, sync
from sales.models import FlashSale
from tests.browser.dashboard.pages import WIDE
from tests.factories import (
    make_loaded_item,
    make_product,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]


def test_planning_scheduling_and_loading_a_sale(staff, owner):
    make_product("Basecamp tent", sku="TENT", on_hand=9)
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:sales_flashsale_add"))

    page.get_by_label("Name").fill("Night sale")
    for field, (date, time) in {
        "opens_at": ("2036-01-01", "10:00:00"),
        "closes_at": ("2036-01-01", "12:00:00"),
    }.items():
        page.locator(f"#id_{field}_0").fill(date)
        page.locator(f"#id_{field}_1").fill(time)
    page.get_by_role("link", name="Add another Product").click()
    page.locator("#items-0 .select2-selection, tr .select2-selection").first.click()
    page.locator(".select2-search__field").fill("base")
    page.locator(".select2-results__option", has_text="Basecamp tent").click()
    page.locator("#id_items-0-requested_units").fill("4")
    page.locator("#id_items-0-price").fill("99.00")
    page.get_by_role("button", name="Save and continue editing").click()
    page.locator("a[href$='/schedule/']").click()
    page.locator("#dialog").get_by_role("button", name="Submit").click()
    page.get_by_text("“Night sale” is scheduled.").wait_for()
    page.get_by_role("link", name="Preload now").click()
    page.locator("#dialog").get_by_role("button", name="Submit").click()

    page.get_by_text("1 product is loaded, with 4 units in all.").wait_for()
    page.locator("[data-figure=left]", has_text="4").wait_for()
    sale = FlashSale.objects.get()
    assert sale.slug == "night-sale"
    assert sale.state == "loaded"


def test_live_numbers_move_while_units_are_claimed(staff, owner):
    item = make_loaded_item(product=make_product(on_hand=9), units=5, limit=5)
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:sales_flashsale_change", args=[item.sale_id]))
    page.locator("[data-figure=left]", has_text="5").wait_for()

    flash.claim(item.pk, order_id=uuid4(), buyer="g:1", quantity=2)
    page.locator("[data-figure=left]", has_text="3").wait_for()
    page.locator("[data-figure=held]", has_text="2").wait_for()
    sync.drain(item.pk)
    page.locator("[data-figure=unsynced]", has_text="0").wait_for()


def test_pausing_a_sale_says_so(staff, owner):
    item = make_loaded_item(units=5)
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:sales_flashsale_change", args=[item.sale_id]))

    page.get_by_role("link", name="Pause").click()
    page.locator("#dialog").get_by_role("button", name="Submit").click()

    page.get_by_text("“Night sale” is paused.").wait_for()
    page.get_by_role("link", name="Resume").wait_for()
