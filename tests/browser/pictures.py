"""Takes the pictures of docs/pictures from a running demo.

    make demo                                 # in another terminal, freshly started
    make pictures                             # or a part: ARGS="--only cart,dashboard"

The shop is taken wide and as on a phone, the dashboard wide. The pictures of orders buy
something: a demo that has run for long may be sold out.
"""

import argparse

from playwright.sync_api import Page, sync_playwright

from tests import chromium
from tests.browser import pictures_of_sales as sales
from tests.browser.conftest import ARGUMENTS
from tests.browser.picture_taking import (
    DARK,
    MERCHANT,
    PHONE,
    SHOPPER,
    WIDE,
    Take,
    Taker,
    go,
    shot,
)

COUNT = "handle,sku,name,price,on_hand\nbowl,NEW-BOWL,Tidal bowl,24.00,12\n"

SHOP: dict[str, Take] = {}
ACCOUNT: dict[str, Take] = {}
DESK: dict[str, Take] = {}


def live_sale_address(page: Page) -> str:
    page.goto("/flash/")
    link = page.get_by_role("link", name="Harbor Lights", exact=True).first
    return str(link.get_attribute("href"))


# -- The shop ----------------------------------------------------------------------


@shot(SHOP)
def home(page: Page) -> None:
    go(page, "/")


@shot(SHOP)
def products(page: Page) -> None:
    go(page, "/products/")


@shot(SHOP)
def search(page: Page) -> None:
    go(page, "/products/?q=pot&available=on")


@shot(SHOP)
def product(page: Page) -> None:
    go(page, "/products/fjord-gooseneck-kettle/")
    page.locator("#flash-offer .bar").wait_for()


@shot(SHOP)
def out_of_stock(page: Page) -> None:
    go(page, "/products/copperline-saucepan/")


@shot(SHOP)
def flash_sales(page: Page) -> None:
    go(page, "/flash/")


@shot(SHOP)
def flash_sale_coming(page: Page) -> None:
    page.goto("/flash/")
    page.get_by_role("link", name="See what is in it").first.click()
    page.wait_for_load_state("networkidle")


@shot(SHOP)
def flash_sale(page: Page) -> None:
    page.goto(live_sale_address(page))
    page.wait_for_timeout(500)


@shot(SHOP)
def order_held(page: Page) -> None:
    page.goto(live_sale_address(page))
    page.get_by_role("button", name="Buy now").first.click()
    page.wait_for_url("**/orders/**")
    page.wait_for_load_state("networkidle")


@shot(SHOP)
def flash_sale_change(page: Page) -> None:
    page.goto(live_sale_address(page))
    page.get_by_role("button", name="Buy now").first.click()
    keep_it = page.get_by_role("link", name="Keep it and go to your order")
    keep_it.evaluate("link => link.closest('li').scrollIntoView(false)")
    page.mouse.wheel(0, 20)


@shot(SHOP)
def cart(page: Page) -> None:
    for slug in ("arc-reading-lamp", "clack-75-keyboard"):
        page.goto(f"/products/{slug}/")
        page.get_by_role("button", name="Add to cart").click()
        page.get_by_role("link", name="Go to the cart").wait_for()
    go(page, "/cart/")


@shot(SHOP)
def checkout(page: Page) -> None:
    go(page, "/checkout/")


@shot(SHOP)
def payment(page: Page) -> None:
    page.goto("/checkout/")
    for label, text in {
        "E-mail": "ann@shop.test",
        "Full name": "Ann Ames",
        "Street and number": "Quay 1",
        "Postal code": "12345",
        "City": "Port",
    }.items():
        page.get_by_label(label).fill(text)
    page.get_by_label("Country").select_option("ID")
    page.get_by_role("button", name="Order and hold").click()
    page.get_by_role("button", name="Pay $").click()
    page.get_by_role("button", name="Approve").wait_for()


@shot(SHOP)
def order_paid(page: Page) -> None:
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("Paid. Thank you!").wait_for()


@shot(SHOP)
def sign_in(page: Page) -> None:
    go(page, "/accounts/login/")


@shot(ACCOUNT)
def orders(page: Page) -> None:
    go(page, "/orders/")


@shot(ACCOUNT)
def order_expired(page: Page) -> None:
    page.locator("li, tr, article", has_text="Expired").get_by_role(
        "link"
    ).first.click()
    page.get_by_text("The hold has ended").wait_for()


@shot(ACCOUNT)
def addresses(page: Page) -> None:
    page.goto("/addresses/")
    if page.get_by_role("link", name="Add an address").count() and not (
        page.get_by_role("button", name="Delete").count()
    ):
        page.get_by_role("link", name="Add an address").click()
        page.get_by_label("Full name").fill("Sam Shopper")
        page.get_by_label("Street and number").fill("Lighthouse Road 8")
        page.get_by_label("Postal code").fill("54321")
        page.get_by_label("City").fill("Harbor")
        page.get_by_label("Country").select_option("ID")
        page.get_by_role("button", name="Save").click()
    go(page, "/addresses/")


# -- The dashboard -----------------------------------------------------------------


@shot(DESK)
def dashboard(page: Page) -> None:
    go(page, "/admin/")


@shot(DESK)
def stock_desk(page: Page) -> None:
    go(page, "/admin/catalog/stock/")


@shot(DESK)
def why_this_number(page: Page) -> None:
    page.goto("/admin/catalog/stock/?q=kettle")
    page.get_by_role("link", name="Fjord Gooseneck Kettle").first.click()
    page.wait_for_load_state("networkidle")


@shot(DESK)
def stock_history(page: Page) -> None:
    page.get_by_role("heading", name="History", exact=True).scroll_into_view_if_needed()
    page.mouse.wheel(0, 500)


@shot(DESK)
def bulk_preview(page: Page) -> None:
    page.goto("/admin/catalog/stock/?status=low_stock")
    page.get_by_role("button", name="Change levels of everything").click()
    page.get_by_label("Number").fill("4")
    page.get_by_label("Reason").fill("Before the holidays")
    page.get_by_role("button", name="Preview").click()
    page.wait_for_load_state("networkidle")


@shot(DESK)
def product_form(page: Page) -> None:
    page.goto("/admin/catalog/product/?q=kettle")
    page.locator("th.field-name a").first.click()
    page.get_by_text("Add another Picture").scroll_into_view_if_needed()


@shot(DESK)
def sale_form(page: Page) -> None:
    page.goto("/admin/sales/flashsale/")
    page.get_by_role("link", name="Twelve Twelve").first.click()
    add = page.locator("a:visible", has_text="Add another Product").first
    add.scroll_into_view_if_needed()


@shot(DESK)
def preflight(page: Page) -> None:
    page.goto("/admin/sales/flashsale/")
    page.get_by_role("link", name="Twelve Twelve").first.click()
    page.get_by_text("Ready to open?").wait_for()


@shot(DESK)
def sale_scheduled(page: Page) -> None:
    page.get_by_role("link", name="Schedule").first.click()
    page.locator("#dialog button[type=submit]").click()
    page.get_by_text("Scheduled").first.wait_for()
    page.reload(wait_until="networkidle")


@shot(DESK)
def live_sale(page: Page) -> None:
    page.goto("/admin/sales/flashsale/")
    page.get_by_role("link", name="Harbor Lights").first.click()
    page.wait_for_timeout(1500)


@shot(DESK)
def sale_report(page: Page) -> None:
    page.get_by_role("link", name="Report").first.click()
    page.wait_for_load_state("networkidle")


@shot(DESK)
def desk_orders(page: Page) -> None:
    go(page, "/admin/sales/order/")


@shot(DESK)
def desk_order(page: Page) -> None:
    paid = page.locator("tr", has_text="Paid").filter(has_text="@")
    paid.locator("th a").first.click()
    page.wait_for_load_state("networkidle")


@shot(DESK)
def ledger(page: Page) -> None:
    go(page, "/admin/catalog/stockmovement/")


@shot(DESK)
def alerts(page: Page) -> None:
    go(page, "/admin/catalog/alert/")


@shot(DESK)
def import_preview(page: Page) -> None:
    page.goto("/admin/catalog/product/import/")
    file = {"name": "products.csv", "mimeType": "text/csv", "buffer": COUNT.encode()}
    page.locator("input[type=file]").first.set_input_files(files=[file])
    page.get_by_role("button", name="Look at the file").click()
    page.wait_for_load_state("networkidle")


@shot(DESK)
def api_tokens(page: Page) -> None:
    go(page, "/admin/sales/apitoken/add/")


@shot(DESK)
def webhooks(page: Page) -> None:
    go(page, "/admin/catalog/webhookendpoint/add/")


@shot(DESK)
def health(page: Page) -> None:
    page.goto("/admin/")
    page.locator("a", has_text="Health").first.click()
    page.wait_for_load_state("networkidle")


@shot(DESK)
def jobs(page: Page) -> None:
    go(page, "/admin/django_rq/dashboard/")


# -- Taking them -------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shop", nargs="?", default="http://localhost:8000")
    parser.add_argument("--only", default="", help="names, separated by commas")
    options = parser.parse_args()
    only = {name for name in options.only.split(",") if name}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find(), args=ARGUMENTS
        )
        take = Taker(browser, options.shop, only)
        take.all_of(DESK, WIDE, who=MERCHANT)
        take.all_of(SHOP, WIDE)
        take.all_of(SHOP, PHONE, tail="-phone")
        take.all_of(sales.STATES, WIDE)
        take.all_of(sales.STATES, PHONE, tail="-phone")
        take.all_of(sales.STOPPED, WIDE, who=MERCHANT)
        take.all_of({"home": home, "flash-sale": flash_sale}, DARK, tail="-dark")
        take.all_of(ACCOUNT, WIDE, who=SHOPPER)
        take.all_of(ACCOUNT, PHONE, tail="-phone", who=SHOPPER)
        browser.close()
    if take.missing:
        raise SystemExit("Not taken:\n" + "\n".join(take.missing))


if __name__ == "__main__":
    main()
