from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from catalog import thresholds
from catalog.models import Product, Stock
from sales import flash, sync
from sales.models import FlashSale
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

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
PHONE = {"viewport": {"width": 360, "height": 740}}
WIDE = {"viewport": {"width": 1280, "height": 900}}


@pytest.fixture
def staff(visit):
    """`staff(user, **options)` gives a page of a browser where `user` is signed in."""

    def sign_in(user, **options):
        client = Client()
        client.force_login(user)
        page = visit(**options)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.goto("/healthz")
        page.evaluate(
            "([name, value]) => { document.cookie = `${name}=${value}; path=/` }",
            [settings.SESSION_COOKIE_NAME, cookie],
        )
        return page

    return sign_in


@pytest.fixture
def owner():
    return make_staff("owner")


def stock_of(product):
    return Stock.objects.get(pk=product.pk)


def test_editing_a_threshold_in_the_list_flips_the_status_and_says_who(staff, owner):
    pot = make_product("Clay pot", on_hand=5, safety_threshold=1)
    page = staff(owner)
    page.goto(reverse("admin:catalog_stock_changelist"))

    page.get_by_label("Safety threshold: Clay pot").fill("5")
    page.keyboard.press("Enter")

    page.get_by_text("was changed successfully").wait_for()
    row = page.locator("tr", has_text="Clay pot")
    row.get_by_text("Out of stock").wait_for()
    row.locator(".field-on_hand a").click()
    page.get_by_text("threshold 1 → 5").wait_for()
    assert owner.username in page.locator("#content-main").inner_text()
    assert stock_of(pot).is_out


def test_conflict_shows_both_numbers_and_lets_the_merchant_choose(staff, owner):
    pot = make_product("Clay pot", on_hand=50, safety_threshold=1)
    page = staff(owner)
    page.goto(reverse("admin:catalog_stock_changelist"))
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)})

    page.get_by_label("Safety threshold: Clay pot").fill("3")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Somebody saved 7 meanwhile, you typed 3").wait_for()
    assert stock_of(pot).safety_threshold == 7
    page.get_by_role("button", name="Save").click()
    page.get_by_text("was changed successfully").wait_for()

    assert stock_of(pot).safety_threshold == 3


def test_counting_stock_in_a_dialog(staff, owner):
    pot = make_product("Clay pot", on_hand=10)
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:catalog_stock_change", args=[pot.pk]))

    page.get_by_role("link", name="Adjust on hand").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Units counted").fill("8")
    dialog.get_by_role("button", name="Set the number").click()
    dialog.get_by_text("This field is required").wait_for()
    dialog.get_by_label("Reason").fill("two broken")
    dialog.get_by_role("button", name="Set the number").click()

    page.get_by_text("Clay pot: 8 units on hand.").wait_for()
    assert page.locator("#on_hand b").inner_text() == "8"
    assert page.get_by_text("two broken").is_visible()


def test_promises_appear_on_the_page_of_a_number(staff, owner):
    pot = make_product(on_hand=10)
    order = make_order(pot, quantity=3)
    page = staff(owner, **WIDE)

    page.goto(reverse("admin:catalog_stock_change", args=[pot.pk]) + "#reserved")

    page.get_by_role("link", name=order.number).first.click()
    page.wait_for_url(f"**{order.pk}**")
    page.get_by_role("heading", name=f"{order.number} Held").wait_for()


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


def test_many_levels_change_after_a_preview_and_come_back(staff, owner):
    pot = make_product("Clay pot", on_hand=5)
    make_product("Jug", on_hand=50)
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:catalog_stock_changelist"))

    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("change_levels")
    page.locator("button[name=index]").click()
    page.get_by_label("Number").fill("5")
    page.get_by_label("Reason").fill("winter")
    page.get_by_role("button", name="Preview").click()
    preview = page.locator("#preview")
    preview.get_by_text("Become out of stock").wait_for()
    assert "1" in preview.locator("dd").nth(1).inner_text()
    page.get_by_role("button", name="Change them").click()
    page.get_by_role("link", name="the list of level changes").click()
    assert stock_of(pot).is_out
    page.locator("td.field-actions_holder span").first.click()
    page.get_by_role("link", name="Undo").first.click()
    page.locator("#dialog").get_by_role("button", name="Put it back").click()

    page.get_by_text("2 of 2 products are back where they were.").wait_for()
    assert not stock_of(pot).is_out


def test_first_page_draws_its_chart_and_keeps_itself_fresh(staff, owner):
    make_order()
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:index"))
    drawn = page.locator("canvas[data-bars]")
    drawn.wait_for()
    assert page.evaluate("!!Chart.getChart(document.querySelector('canvas'))")

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
        assert page.get_by_role("button", name="Save").count() == 0
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
        reverse("admin:catalog_stock_change", args=[item.product_id]),
        reverse("admin:catalog_product_change", args=[item.product_id]),
        reverse("admin:catalog_product_import_file"),
        reverse("admin:sales_flashsale_change", args=[draft.pk]),
        reverse("admin:sales_flashsale_change", args=[item.sale_id]),
        reverse("admin:sales_flashsale_report", args=[item.sale_id]),
        reverse("admin:sales_order_changelist"),
        reverse("admin:sales_order_change", args=[order.pk]),
    ):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        page.evaluate(AXE)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        barriers = [
            (v["id"], [node["html"] for node in v["nodes"]])
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert barriers == [], address


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
