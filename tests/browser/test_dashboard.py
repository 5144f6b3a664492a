from pathlib import Path
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import expect

from catalog import saved_views, stock, thresholds
from catalog.models import Product, StatusChange, Stock
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
def owner():
    return make_staff("owner")


def stock_of(product):
    return Stock.objects.get(pk=product.pk)


DESK = "admin:catalog_stock_changelist"


def test_editing_a_threshold_in_the_list_flips_the_status_and_says_who(staff, owner):
    pot = make_product("Clay pot", on_hand=5, safety_threshold=1)
    page = staff(owner)
    page.goto(reverse(DESK))

    page.get_by_label("Safety threshold: Clay pot", exact=True).fill("5")
    page.keyboard.press("Enter")

    page.get_by_text("was changed successfully").wait_for()
    row = page.locator("tr", has_text="Clay pot")
    row.get_by_text("Out of stock").wait_for()
    row.locator(".field-safety_threshold a").click()
    page.get_by_text("threshold 1 → 5").wait_for()
    expect(page.locator("#content-main")).to_contain_text(owner.username)
    assert stock_of(pot).is_out


def test_counting_in_the_list_asks_for_a_reason_and_says_who(staff, owner):
    pot = make_product("Clay pot", on_hand=5)
    make_product("Jug")
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK))

    box = page.get_by_label("On hand: Clay pot", exact=True)
    box.fill("3")
    page.keyboard.press("Enter")
    page.keyboard.type("two broken")
    page.keyboard.press("Enter")

    page.get_by_text("was changed successfully").wait_for()
    assert stock_of(pot).on_hand == 3
    movement = pot.movements.first()
    assert (movement.reason, movement.actor) == ("two broken", owner)
    expect(page.locator(f"[name='{pot.pk}-on_hand']")).to_be_focused()


def test_keys_of_the_list(staff, owner):
    pot, jug = make_product("Clay pot", on_hand=5), make_product("Jug", on_hand=7)
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK))

    def focused():
        return page.evaluate("document.activeElement.name")

    page.get_by_label("On hand: Clay pot", exact=True).focus()
    page.keyboard.press("ArrowDown")
    assert focused() == f"{jug.pk}-on_hand"
    page.keyboard.press("ArrowUp")
    page.keyboard.type("99")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert focused() == f"{pot.pk}-reason"
    page.keyboard.press("Escape")

    assert focused() == f"{pot.pk}-on_hand"
    expect(page.get_by_label("On hand: Clay pot", exact=True)).to_have_value("5")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.hash") == "#on_hand"
    assert stock_of(pot).on_hand == 5


@pytest.mark.parametrize(("choice", "threshold"), [("Keep 7", 7), ("Use mine, 3", 3)])
def test_conflict_shows_both_numbers_and_lets_the_merchant_choose(
    staff, owner, choice, threshold
):
    pot = make_product("Clay pot", on_hand=50, safety_threshold=1)
    page = staff(owner)
    page.goto(reverse(DESK))
    colleague = make_staff("owner")
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)}, actor=colleague)

    page.get_by_label("Safety threshold: Clay pot", exact=True).fill("3")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text(f"saved by {colleague}").wait_for()
    assert stock_of(pot).safety_threshold == 7
    dialog.get_by_label(choice).check()
    dialog.get_by_role("button", name="Save my choices").click()
    page.get_by_role("dialog").wait_for(state="detached")

    assert stock_of(pot).safety_threshold == threshold
    box = page.get_by_label("Safety threshold: Clay pot", exact=True)
    expect(box).to_have_value(str(threshold))


def test_count_that_lost_a_race_is_a_choice_too(staff, owner):
    pot = make_product("Clay pot", on_hand=10)
    page = staff(owner)
    page.goto(reverse(DESK))
    stock.receive(pot.pk, 5, note=stock.Note())

    page.get_by_label("On hand: Clay pot", exact=True).fill("8")
    page.get_by_label("Reason for the new count: Clay pot").fill("counted")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Keep 15").wait_for()
    dialog.get_by_label("Use mine, 8").check()
    dialog.get_by_role("button", name="Save my choices").click()

    page.get_by_text("was changed successfully").wait_for()
    assert stock_of(pot).on_hand == 8


def test_units_are_received_from_the_list_which_stays(staff, owner):
    pot = make_product("Clay pot", on_hand=10)
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK) + "?o=-on_hand")

    page.get_by_role("link", name="Receive units: Clay pot").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Units that arrived").fill("5")
    dialog.get_by_label("Reason").fill("delivery 7")
    dialog.get_by_role("button", name="Add the units").click()

    page.get_by_text("Clay pot: 5 units added.").wait_for()
    assert page.url.endswith("?o=-on_hand")
    assert stock_of(pot).on_hand == 15


def test_list_works_without_scripts(staff, owner):
    pot = make_product("Clay pot", on_hand=10, safety_threshold=1)
    page = staff(owner, **WIDE)
    cookies = page.context.cookies()
    plain = page.context.browser.new_context(
        base_url=page.url.removesuffix("/healthz"), java_script_enabled=False, **WIDE
    )
    plain.add_cookies(cookies)
    page = plain.new_page()
    page.goto(reverse(DESK))
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)})

    page.get_by_label("On hand: Clay pot", exact=True).fill("8")
    page.get_by_label("Reason for the new count: Clay pot").fill("counted")
    page.get_by_label("Safety threshold: Clay pot", exact=True).fill("3")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_label("Use mine, 8").check()
    page.get_by_label("Keep 7").check()
    page.get_by_role("button", name="Save my choices").click()
    page.get_by_text("was changed successfully").wait_for()

    assert (stock_of(pot).on_hand, stock_of(pot).safety_threshold) == (8, 7)
    page.get_by_label("Status").select_option("out_of_stock")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("No product is like that").wait_for()
    plain.close()


def test_view_is_saved_as_a_tab_and_opens_first(staff, owner):
    make_product("Gone", on_hand=0)
    make_product("Clay pot")
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK))

    page.get_by_label("Status").select_option("out_of_stock")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("Save this view").click()
    page.get_by_label("Name").fill("Empty shelves")
    page.get_by_label("For the whole team").check()
    page.get_by_label("Open the desk with it").check()
    page.get_by_role("button", name="Keep it").click()
    page.get_by_text("is saved").wait_for()
    page.goto(reverse(DESK))

    tab = page.get_by_role("navigation", name="Saved views").get_by_text(
        "Empty shelves"
    )
    expect(tab).to_have_attribute("aria-current", "page")
    expect(page.locator(".data-row")).to_have_count(1)
    page.get_by_role("link", name="All products").click()
    page.get_by_role("link", name="Clay pot", exact=True).wait_for()


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
    expect(page.locator("#on_hand dt b")).to_have_text("8")
    expect(page.get_by_text("two broken")).to_be_visible()


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
    goods = {
        "Clay pot": make_product("Clay pot", on_hand=5, safety_threshold=1),
        "Jug": make_product("Jug", on_hand=50, inherits_threshold=True),
        "Mug": make_product("Mug", on_hand=9, safety_threshold=9),
        "Lamp": make_product("Lamp", on_hand=8, safety_threshold=5),
    }
    item = make_loaded_item(product=goods["Jug"], units=5)
    kept = ("safety_threshold", "inherits_threshold", "low_stock_level", "status")

    def levels_now():
        rows = Stock.objects.filter(pk__in=[product.pk for product in goods.values()])
        return {row.pk: [getattr(row, name) for name in kept] for row in rows}

    before, flips = levels_now(), StatusChange.objects.count()
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK))

    page.locator("#action-toggle").check()
    page.get_by_role("button", name="Change levels of the ticked ones").click()
    page.get_by_label("Number").fill("5")
    page.get_by_label("Reason").fill("winter")
    page.get_by_role("button", name="Preview").click()
    shown = {
        name: int(page.locator(f"#preview [data-figure={name}]").inner_text())
        for name in ("changes", "out", "back", "sale")
    }
    assert levels_now() == before
    page.get_by_role("button", name="Change them").click()
    page.get_by_role("link", name="the list of level changes").click()
    page.get_by_role("button", name="Undo").first.wait_for()

    after = levels_now()
    pks = [pk for pk in after if after[pk] != before[pk]]
    out = [pk for pk in pks if after[pk][3] == "out_of_stock" != before[pk][3]]
    back = [pk for pk in pks if before[pk][3] == "out_of_stock" != after[pk][3]]
    assert shown == {"changes": 3, "out": 1, "back": 1, "sale": 1}
    assert (len(pks), len(out), len(back)) == (3, 1, 1)
    assert item.product_id in pks
    assert StatusChange.objects.count() == flips + 2
    page.get_by_role("button", name="Undo").first.click()
    page.get_by_text("3 of 3 products are back where they were.").wait_for()
    assert levels_now() == before


def test_levels_from_a_file_are_shown_then_changed(staff, owner):
    pot = make_product("Clay pot", sku="POT", on_hand=5)
    page = staff(owner, **WIDE)
    page.goto(reverse(DESK))

    page.get_by_role("link", name="Levels from a file").click()
    page.locator("input[type=file]").set_input_files(
        {
            "name": "levels.csv",
            "mimeType": "text/csv",
            "buffer": b"sku,safety_threshold\nPOT,5\n",
        }
    )
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview [data-figure=out]")).to_have_text("1")
    page.get_by_role("button", name="Change them").click()
    page.get_by_text("The levels are changed.").wait_for()

    assert stock_of(pot).is_out


def test_default_of_a_category_is_shown_then_changed(staff, owner):
    garden = make_category("Garden")
    pot = make_product("Clay pot", on_hand=5, inherits_threshold=True, category=garden)
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:catalog_category_change", args=[garden.pk]))

    page.locator("#id_safety_threshold").fill("5")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#preview [data-figure=out]")).to_have_text("1")
    assert not stock_of(pot).is_out
    page.get_by_role("button", name="Change them").click()
    page.get_by_text("1 product took over the new numbers").wait_for()

    assert stock_of(pot).is_out


def test_history_of_a_product_draws_threshold_and_status_changes(staff, owner):
    pot = make_product("Clay pot", on_hand=5)
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=5)})
    page = staff(owner, **WIDE)

    page.goto(reverse("admin:catalog_stock_change", args=[pot.pk]))
    page.wait_for_load_state("load")

    drawn = page.evaluate(
        "Chart.getChart(document.querySelector('canvas[data-history]'))"
        ".data.datasets.map((set) => [set.label, set.data.length])"
    )
    assert drawn == [
        ["On hand", 2],
        ["Promised", 2],
        ["Safety threshold", 3],
        ["Status changes", 1],
    ]


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


GRAVE = ("serious", "critical")
LANDMARKS = ("landmark-one-main", "region")


def barriers(page):
    """What axe finds serious on the page as it stands, or outside of its landmarks."""
    page.wait_for_load_state()
    expect(page.locator(".htmx-request")).to_have_count(0)
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (v["id"], [node["html"] for node in v["nodes"]])
        for v in found["violations"]
        if v["impact"] in GRAVE or v["id"] in LANDMARKS
    ]


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
