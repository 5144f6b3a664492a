"""A merchant's work in a real browser: files, refunds, ledgers, sales, two steps."""

import time
from pathlib import Path
from uuid import uuid4

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.urls import reverse
from django.utils import timezone
from openpyxl import Workbook
from playwright.sync_api import expect

from catalog import import_runs, import_views, stock
from catalog.models import ImportRun, Product, Stock, StockMovement
from sales import checkout, counters, flash, jobs, mails, sync
from sales.models import Order, OrderMail, PaymentNotice
from tests.browser.dashboard.pages import PHONE, WIDE, barriers
from tests.factories import (
    make_item,
    make_loaded_item,
    make_order,
    make_product,
    make_sale,
    make_staff,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]

PASSWORD = "a long enough passphrase"
FIRST = "sku,name,price,on_hand\nPOT,Clay pot,9.99,5\n"
BAD = FIRST + ",No sku,1,1\nJUG,Jug,cheap,1\nCUP,,2,1\n"
GOOD = FIRST + "JUG,Jug,5.00,1\nCUP,Cup,2,1\n"


@pytest.fixture
def owner():
    return make_staff("owner")


def paid_order(quantity=2):
    order = make_order(make_product("Clay pot", on_hand=10), quantity=quantity)
    checkout.finish(checkout.begin_payment(order.pk).pk, "paid")
    order.refresh_from_db()
    return order


def order_page(order):
    return reverse("admin:sales_order_change", args=[order.pk])


# -- Files ------------------------------------------------------------------------


def choose(page, name, content):
    page.locator("input[type=file]").first.set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    page.get_by_role("button", name="Look at the file").click()


def test_file_with_three_bad_rows_is_corrected_and_imported(staff, owner, tmp_path):
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:catalog_product_import_file"))

    choose(page, "goods.csv", BAD.encode())
    page.get_by_text("Nothing can be imported while lines are bad").wait_for()
    page.wait_for_load_state()
    for row, number in enumerate(("3", "4", "5")):
        line = page.locator("td[data-label=Line]").nth(row)
        expect(line).to_have_text(number)
    expect(page.locator("#content-main")).to_contain_text("is not a price")
    assert page.get_by_role("button", name="Import all of it").count() == 0
    book = Workbook()
    for line in GOOD.splitlines():
        book.active.append(line.split(","))
    book.save(tmp_path / "goods.xlsx")
    choose(page, "goods.xlsx", (tmp_path / "goods.xlsx").read_bytes())
    assert not Product.objects.exists()
    page.get_by_role("button", name="Import all of it").click()

    page.get_by_text("3 new, 0 changed, 0 as they were.").wait_for()
    assert Stock.objects.get(product__sku="POT").on_hand == 5


def test_long_file_is_followed_to_its_end(staff, owner, monkeypatch):
    monkeypatch.setattr(import_views, "LONG", 0)
    page = staff(owner, **PHONE)
    page.goto(reverse("admin:catalog_product_import_file"))

    choose(page, "goods.csv", GOOD.encode())
    bar = page.get_by_role("progressbar", name="Progress of the import")
    bar.wait_for()
    ImportRun.objects.update(percent=40)
    page.locator("progress[value='40']").wait_for()
    import_runs.work(timezone.now())
    page.get_by_role("button", name="Import all of it").click()
    bar.wait_for()
    page.wait_for_load_state()  # without its style a page is as wide as its words
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    import_runs.work(timezone.now())

    page.get_by_text("3 new, 0 changed, 0 as they were.").wait_for()
    expect(bar).to_have_count(0)
    assert barriers(page) == []


# -- Orders -----------------------------------------------------------------------


@pytest.mark.parametrize(("comes_back", "on_hand"), [(True, 10), (False, 8)])
def test_refund_with_and_without_the_units(staff, owner, comes_back, on_hand):
    order = paid_order(quantity=2)
    page = staff(owner, **WIDE)
    page.goto(order_page(order))

    page.get_by_role("link", name="Refund").click()
    dialog = page.locator("#dialog")
    dialog.locator("input[type=checkbox]").set_checked(comes_back)
    dialog.get_by_label("Reason").fill("arrived broken")
    dialog.get_by_role("button", name="Refund the order").click()

    page.get_by_text(f"Order {order.number} is refunded.").wait_for()
    assert Order.objects.get(pk=order.pk).state == "refunded"
    assert Stock.objects.get(pk=order.lines.get().product_id).on_hand == on_hand


def test_mail_is_sent_again_once(staff, owner):
    order = paid_order()
    mails.send_due(timezone.now())
    page = staff(owner, **WIDE)
    page.goto(order_page(order))

    page.get_by_role("link", name="Send e-mail again").click()
    send = page.locator("#dialog").get_by_role("button", name="Send it")
    send.dblclick()

    page.get_by_text("mailed again to").first.wait_for()
    assert OrderMail.objects.filter(order=order, sent_at=None).count() == 1


# -- The ledger -------------------------------------------------------------------


def test_ledger_can_be_read_and_taken_away_and_not_changed(
    staff, owner, django_user_model
):
    stock.adjust(make_product().pk, on_hand=3, note=stock.Note(reason="two broken"))
    root = django_user_model.objects.create_superuser(
        "root@shop.test", "root@shop.test"
    )
    page = staff(root, **WIDE)
    ledger = reverse("admin:catalog_stockmovement_changelist")

    page.goto(ledger)
    assert page.locator("select[name=action]").count() == 0
    assert page.locator("a[href$='/add/']").count() == 0
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    assert "two broken" in Path(download.value.path()).read_text()
    row = StockMovement.objects.first()
    page.goto(reverse("admin:catalog_stockmovement_change", args=[row.pk]))

    page.get_by_text("two broken").first.wait_for()
    for name in ("Save", "Delete"):
        assert page.get_by_role("button", name=name).count() == 0
        assert page.get_by_role("link", name=name, exact=True).count() == 0
    assert page.locator("#content-main input:not([type=hidden])").count() == 0


# -- A sale -----------------------------------------------------------------------


def test_sale_is_no_go_until_what_is_missing_is_there(staff, owner, monkeypatch):
    item = make_item(sale=make_sale(opens_in=600), units=5)
    page = staff(owner, **WIDE)
    page.goto(reverse("admin:sales_flashsale_change", args=[item.sale_id]))
    checks = page.locator("#preflight-checks")

    checks.get_by_text("No-go").wait_for()
    page.locator("a[href$='/schedule/']").click()
    page.locator("#dialog").get_by_role("button", name="Submit").click()
    page.get_by_text("is scheduled").first.wait_for()
    checks.get_by_text("No-go").wait_for()  # nobody works and nothing ticks yet
    monkeypatch.setattr(jobs, "schedules", lambda: 1)
    monkeypatch.setattr(jobs, "queues", list)
    page.get_by_role("link", name="Check again").click()

    checks.get_by_text("Go", exact=True).wait_for()


def test_live_page_counts_claims_and_refusals_as_they_come(staff, owner):
    item = make_loaded_item(product=make_product(on_hand=9), units=3, limit=3)
    page = staff(owner, **PHONE)
    page.goto(reverse("admin:sales_flashsale_change", args=[item.sale_id]))
    page.locator("[data-figure=claims]", has_text="0").wait_for()

    for buyer in range(5):
        try:
            claimed = uuid4()
            flash.claim(item.pk, order_id=claimed, buyer=f"g:{buyer}", quantity=1)
        except counters.ClaimRefused:
            continue
    page.locator("[data-figure=claims]", has_text="5").wait_for()
    page.locator("[data-figure=left]", has_text="0").wait_for()
    sync.drain(item.pk)

    page.locator("[data-figure=unsynced]", has_text="0").wait_for()
    demand = page.locator("#demand")
    expect(demand).to_contain_text("3 admitted, 2 refused")
    expect(demand).to_contain_text("All held by others")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.goto(reverse("admin:sales_flashsale_report", args=[item.sale_id]))
    page.get_by_role("button", name="Print").wait_for()
    refused = page.locator("#refused")
    expect(refused).to_contain_text("Demand that was refused")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


# -- Two steps --------------------------------------------------------------------


def test_staff_set_up_the_second_step_and_sign_in_with_it(visit, owner, settings):
    settings.SHOP_STAFF_TWO_FACTOR = True
    settings.ACCOUNT_RATE_LIMITS = False
    owner.set_password(PASSWORD)
    owner.save()
    page = visit(**PHONE)

    def sign_in():
        page.goto(reverse("admin:index"))
        page.locator("input[name=login]").fill(owner.email)
        page.locator("input[name=password]").fill(PASSWORD)
        page.locator("main button[type=submit]").first.click()

    sign_in()
    page.get_by_text("signing in takes two steps").wait_for()
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("main button[type=submit]").first.click()
    secret = page.locator("#authenticator_secret").input_value()
    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("input[name=code]").fill(code_of(secret))
    page.get_by_role("button", name="Activate").click()
    page.locator("#recovery_codes").wait_for()
    assert barriers(page) == []
    page.get_by_role("link", name="Dashboard").click()
    page.wait_for_url("**/admin/")
    page.context.clear_cookies()
    sign_in()
    page.locator("input[name=code]").fill(code_of(secret, later=1))
    page.locator("main button[type=submit]").first.click()

    page.wait_for_url("**/admin/")


def code_of(secret, later=0):
    """What an app with this secret shows; `later`: in so many half minutes."""
    counter = int(time.time()) // 30 + later
    return totp.format_hotp_value(totp.hotp_value(secret, counter))


# -- All of them ------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_no_serious_barrier_and_fit_a_phone(staff, owner, scheme):
    order = paid_order()
    PaymentNotice.objects.create(gateway="test", event_id="1")
    item = make_loaded_item(units=2)
    flash.claim(item.pk, order_id=uuid4(), buyer="g:1", quantity=2)
    sync.drain(item.pk)
    run = import_runs.begin(BAD.encode(), name="goods.csv", actor=owner)
    mail = OrderMail.objects.get()
    page = staff(owner, **PHONE, color_scheme=scheme)

    def look(address):
        response = page.goto(address)
        assert response.status == 200, address
        assert barriers(page) == [], address
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address

    run_page = reverse("admin:catalog_product_import_run", args=[run.pk])
    look(run_page)
    import_runs.work(timezone.now())
    for address in (
        run_page,
        reverse("admin:catalog_product_import_file"),
        reverse("admin:sales_flashevent_changelist"),
        reverse("admin:sales_ordermail_changelist"),
        reverse("admin:sales_ordermail_change", args=[mail.pk]),
        reverse("admin:sales_paymentnotice_changelist"),
        reverse("admin:catalog_stockmovement_changelist"),
        reverse("admin:shop_health"),
        order_page(order),
        reverse("admin:sales_order_resend", args=[order.pk]),
        reverse("admin:sales_flashsale_change", args=[item.sale_id]),
        reverse("admin:sales_flashsale_report", args=[item.sale_id]),
    ):
        look(address)
