"""What holds of all pages: nothing wide, nothing barred, nothing forbidden."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import expect

from catalog import saved_views, thresholds
from catalog.models import Product
from tests.browser.dashboard.pages import DESK, PHONE, WIDE, barriers
from tests.factories import (
    make_category,
    make_item,
    make_loaded_item,
    make_order,
    make_product,
    make_sale,
    make_staff,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]


def test_first_page_draws_its_chart_and_keeps_itself_fresh(staff, owner):
    make_order()
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:index"))
    page.wait_for_function("Chart.getChart(document.querySelector('canvas'))")

    make_product("Gone", on_hand=0)

    page.locator(".merchant-figure", has_text="Out of stock").locator(
        "b", has_text="1"
    ).wait_for()


def test_viewer_finds_no_button(staff):
    pot, item = make_product("Clay pot"), make_loaded_item(units=2)
    page = staff(make_staff("viewer"), **WIDE)

    for url in (
        reverse("admin:catalog_stock_changelist"),
        reverse("admin:catalog_stock_change", args=[pot.pk]),
        reverse("admin:sales_flashsale_change", args=[item.sale_id]),
    ):
        page.goto(url)
        for name in ("Save", "Change levels", "Keep it"):
            assert page.get_by_role("button", name=name).count() == 0
        for name in ("Adjust on hand", "Receive units", "Pause", "Clone"):
            assert page.get_by_role("link", name=name).count() == 0
        assert page.locator("input[type=number]").count() == 0


def test_pages_have_no_serious_barrier(staff, owner):
    item = make_loaded_item(units=5)
    order = make_order()
    draft = make_item(sale=make_sale(opens_in=3600, closes_in=7200)).sale
    page = staff(owner, **WIDE)

    for address in (
        reverse("admin:index"),
        reverse("admin:catalog_stock_changelist"),
        reverse("admin:catalog_stock_views"),
        reverse("admin:catalog_stock_levels_file"),
        reverse("admin:catalog_thresholdchange_changelist"),
        reverse("admin:catalog_stock_change", args=[item.product_id]),
        reverse("admin:catalog_product_change", args=[item.product_id]),
        reverse("admin:catalog_product_import_file"),
        reverse("admin:sales_flashsale_change", args=[draft.pk]),
        reverse("admin:sales_flashsale_change", args=[item.sale_id]),
        reverse("admin:sales_flashsale_report", args=[item.sale_id]),
        reverse("admin:sales_order_changelist"),
        reverse("admin:sales_order_change", args=[order.pk]),
        reverse("admin:auth_user_change", args=[owner.pk]),
    ):
        page.goto(address)
        assert barriers(page) == [], address


def test_first_key_leads_past_the_menu(staff, owner):
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:index"))

    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    expect(page.get_by_role("main").locator(":focus")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_questions_of_the_stock_desk_have_no_serious_barrier(staff, owner, scheme):
    pot = make_product("Clay pot", on_hand=5, safety_threshold=1)
    saved_views.save(owner, "Low", "level=low", is_shared=True)
    page = staff(owner, color_scheme=scheme, **PHONE)
    page.goto(reverse(DESK))
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)})

    page.get_by_label("Safety threshold: Clay pot", exact=True).fill("3")
    page.get_by_label("On hand: Clay pot", exact=True).fill("4")
    page.get_by_label("Low-stock level: Clay pot", exact=True).fill("-1")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    assert barriers(page) == []
    page.keyboard.press("Escape")
    page.get_by_text("Say why the count changes.").wait_for()
    assert barriers(page) == []
    page.get_by_label("Tick Clay pot").check()
    page.get_by_role("button", name="Change levels of the ticked ones").click()
    page.get_by_label("Number").fill("6")
    page.get_by_label("Reason").fill("winter")
    page.get_by_role("button", name="Preview").click()
    page.locator("#preview").wait_for()

    assert barriers(page) == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["viewport"]["width"]


def test_every_page_fits_a_phone_and_a_desk_without_complaints(staff):
    user = User.objects.create_superuser("root@example.org", "root@example.org")
    item = make_loaded_item(units=5, product=make_product(category=make_category()))
    order = make_order(Product.objects.get())
    pk = item.product_id
    addresses = [
        reverse("admin:index"),
        reverse("admin:catalog_stock_changelist"),
        reverse("admin:catalog_stock_change", args=[pk]),
        reverse("admin:catalog_stock_adjust", args=[pk]),
        reverse("admin:catalog_stock_views"),
        reverse("admin:catalog_stock_levels_file"),
        reverse("admin:catalog_product_changelist"),
        reverse("admin:catalog_product_add"),
        reverse("admin:catalog_product_change", args=[pk]),
        reverse("admin:catalog_product_history", args=[pk]),
        reverse("admin:catalog_product_export"),
        reverse("admin:catalog_category_changelist"),
        reverse("admin:catalog_category_add"),
        reverse("admin:catalog_store_changelist"),
        reverse("admin:catalog_stockmovement_changelist"),
        reverse("admin:catalog_statuschange_changelist"),
        reverse("admin:sales_flashsale_changelist"),
        reverse("admin:sales_flashsale_add"),
        reverse("admin:sales_flashsale_change", args=[item.sale_id]),
        reverse("admin:sales_flashsale_report", args=[item.sale_id]),
        reverse("admin:sales_order_changelist"),
        reverse("admin:sales_order_change", args=[order.pk]),
        reverse("admin:sales_auditrun_changelist"),
        reverse("admin:catalog_product_import_file"),
        reverse("admin:catalog_thresholdchange_changelist"),
        reverse("admin:catalog_alert_changelist"),
        reverse("admin:catalog_alertrule_add"),
        reverse("admin:catalog_webhookendpoint_add"),
        reverse("admin:catalog_webhookdelivery_changelist"),
        reverse("admin:auth_user_changelist"),
        reverse("admin:auth_user_add"),
        reverse("admin:auth_group_changelist"),
        reverse("admin:django_rq_dashboard_changelist"),
    ]

    for options in (PHONE, WIDE):
        page = staff(user, **options)
        for address in addresses:
            response = page.goto(address)
            page.wait_for_load_state()
            width = page.evaluate("document.documentElement.scrollWidth")
            assert response.status == 200, address
            assert width <= options["viewport"]["width"], address
