"""What holds of every page that shoppers can see, in a real Chromium.

Nothing wider than a phone, no serious violation that axe-core finds, and light: without
pictures a page, its style, scripts and fonts are under 150 KB as the browser unpacks
them, and under 100 KB with style and scripts compressed as the shop sends them. By the
fixture `visit` no word of complaint in the console, which a violation of the content
policy would be, and no request to another host.
"""

import gzip
from pathlib import Path
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress, EmailConfirmationHMAC
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.urls import Resolver404, get_resolver, resolve

from catalog import restock
from sales import addresses, carts, checkout, flash, notices, sync
from sales.models import Payment
from sales.orders import Contact
from sales.payments import test as test_gateway
from tests.factories import (
    make_category,
    make_item,
    make_loaded_item,
    make_order,
    make_product,
    make_sale,
)

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
PHONE = {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"}
DARK = {"color_scheme": "dark"}
LOOKS = pytest.mark.parametrize("look", [PHONE, DARK], ids=["phone", "dark"])
MOST_SENT, MOST_UNPACKED = 100_000, 150_000  # bytes
PAGE_ITSELF = """() => performance.getEntriesByType("navigation")[0].decodedBodySize"""
FILES = """() => [...new Set([
  ...[...document.querySelectorAll("script[src], link[href]")].map(
    (element) => element.src || element.href),
  ...performance.getEntriesByType("resource").filter(
    (entry) => entry.initiatorType !== "img").map((entry) => entry.name),
].map((address) => new URL(address).pathname))].filter(
  (path) => path.startsWith("/static/"))"""
PASSWORD = "kelp-and-driftwood"
ADDRESS = Contact("", "Ann Ames", "Quay 1", "1234", "Port", "ID")

# Answers to a form, fragments, ways to somewhere else, and what no person looks at.
NO_PAGES = {
    "account_set_password",  # everybody has a password here
    "account_inactive",
    "account_confirm_login_code",
    "account_email_verification_sent",
    "mfa_download_recovery_codes",
    "mfa_reauthenticate",
    "set_language",
    "catalog:tell-me",
    "sales:flash-item",
    "sales:claim",
    "sales:wait",
    "sales:product-offer",
    "sales:cart-add",
    "sales:cart-line",
    "sales:address-delete",
    "sales:pay",
    "sales:cancel",
    "sales:again",
    "sales:leave-line",
    "sales:stripe-payment",
    "sales:payment-return",
}


def send(page, button):
    """Click a button that leads to another page, and wait for that."""
    with page.expect_navigation():
        page.get_by_role("button", name=button).click()


def problems_of(page, address):
    """Open the page; what is wrong with it, each in a line."""
    page.goto(address)
    return problems_here(page, address)


def problems_here(page, address):
    found = []
    page.wait_for_load_state()  # without its style a page is as wide as its words
    page.evaluate("document.fonts.ready.then(() => null)")
    width = page.evaluate("document.documentElement.scrollWidth")
    if width > page.viewport_size["width"]:
        found.append(f"{address} is {width} wide")
    found += [f"{address} weighs {weight}" for weight in too_heavy(page)]
    page.evaluate(AXE)
    results = page.evaluate("axe.run({resultTypes: ['violations']})")
    return found + [
        f"{address} {violation['id']}: {node['html']}"
        for violation in results["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def too_heavy(page):
    """What the page weighs with its files, unpacked or as sent, where too much."""
    itself = page.evaluate(PAGE_ITSELF)
    files = [
        Path(finders.find(path.removeprefix("/static/")))
        for path in page.evaluate(FILES)
    ]
    assert itself
    assert {".css", ".js", ".woff2"} <= {file.suffix for file in files}
    unpacked = itself + sum(file.stat().st_size for file in files)
    as_sent = itself + sum(sent(file) for file in files)
    found = [f"{unpacked} unpacked"] if unpacked > MOST_UNPACKED else []
    return found + ([f"{as_sent} as sent"] if as_sent > MOST_SENT else [])


def sent(file):
    """Bytes of a file as it goes to a visitor."""
    data = file.read_bytes()
    return len(gzip.compress(data) if file.suffix in (".css", ".js") else data)


def make_account(address="ann@shop.test"):
    user = User.objects.create_user(address, address, PASSWORD)
    EmailAddress.objects.create(user=user, email=address, primary=True)
    return user


def sign_in(page, user):
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    send(page, "Sign In")


def make_orders(user):
    """An order in every state: regular ones, and claims of a sale."""
    held, paying, paid, cancelled = (make_order(user=user) for _ in range(4))
    checkout.begin_payment(paying.pk)
    notices_of(checkout.begin_payment(paid.pk), "paid")
    checkout.cancel(cancelled.pk)
    item = make_loaded_item(product=make_product("Kite"))
    flash.claim(item.pk, order_id=(claimed := uuid4()), buyer="g:1", quantity=1)
    item = make_loaded_item(product=make_product("Drum"))
    flash.claim(item.pk, order_id=(recorded := uuid4()), buyer="g:1", quantity=1)
    sync.drain(item.pk)
    return [held.pk, paying.pk, paid.pk, cancelled.pk, claimed, recorded]


def notices_of(payment, word):
    test_gateway.send(payment, word, times=1)
    notices.catch_up(payment)


def make_sales():
    """Addresses of sales in every state that shoppers can see."""
    live = make_sale("Harbor night", state="scheduled")
    open_item, one, held = (
        make_item(sale=live, product=make_product(name), units=units, limit=limit)
        for name, units, limit in (("Tent", 9, 3), ("Lamp", 4, 1), ("Rope", 1, 1))
    )
    flash.preload(live.pk)
    flash.claim(held.pk, order_id=uuid4(), buyer="somebody", quantity=1)
    soon = make_loaded_item(sale=make_sale(opens_in=600, state="scheduled"))
    far = make_item(sale=make_sale(opens_in=9e5, closes_in=1e6, state="scheduled"))
    over = make_item(sale=make_sale(opens_in=-900, closes_in=-9, state="settled"))
    paused = make_loaded_item()
    flash.pause(paused.sale_id)
    room = make_loaded_item(sale=make_sale(state="scheduled", has_waiting_room=True))
    sales = [live, *(item.sale for item in (soon, far, over, paused, room))]
    inside = f"{room.sale.get_absolute_url()}waiting-room/"
    checking = f"{live.get_absolute_url()}{one.pk}/checking/{uuid4()}/"
    shown = [sale.get_absolute_url() for sale in sales]
    return [*shown, inside, checking, open_item.product.get_absolute_url()]


def make_shelves():
    garden = make_category("Garden", slug="garden")
    make_category("Pots and very large amphoras", slug="pots", parent=garden)
    long = "Extraordinarily large handmade terracotta-amphora-with-two-handles"
    product = make_product(long, category=garden, low_stock_level=20, vendor="Potters")
    gone = make_product("Sold-out spade", category=garden, on_hand=0)
    for number in range(30):
        make_product(f"Pot {number}", category=garden)
    return product, gone


def pages_of_a_guest(product, gone):
    return [
        "/",
        "/products/?q=pot&available=on",
        "/products/?q=nothing-like-it",
        "/categories/garden/?price_min=x",
        product.get_absolute_url(),
        gone.get_absolute_url(),
        f"/tell-me/stop/{restock.token('ann@shop.test')}/",
        "/flash/",
        "/cart/",
        "/checkout/",
        "/orders/",
        "/accounts/login/",
        "/accounts/signup/",
        "/accounts/password/reset/",
        "/accounts/password/reset/done/",
        "/accounts/password/reset/key/1-no-such-key/",
        "/accounts/password/reset/key/done/",
        "/accounts/confirm-email/no-such-key/",
        "/no-such-page/",
    ]


def pages_of_an_account(user):
    book = addresses.keep(user, ADDRESS)
    key = EmailConfirmationHMAC(EmailAddress.objects.get(user=user)).key
    return [
        f"/accounts/confirm-email/{key}/",
        "/accounts/email/",
        "/accounts/password/change/",
        "/accounts/reauthenticate/",
        "/accounts/2fa/",
        "/accounts/2fa/totp/activate/",
        "/addresses/",
        "/addresses/new/",
        f"/addresses/{book.pk}/",
        "/checkout/",
        "/orders/",
        "/accounts/logout/",
    ]


PAGES_WITH_A_SECOND_FACTOR = [
    "/accounts/2fa/",
    "/accounts/2fa/recovery-codes/",
    "/accounts/2fa/recovery-codes/generate/",
    "/accounts/2fa/totp/deactivate/",
]


@LOOKS
def test_every_page_of_a_guest_is_sound(visit, look):
    product, gone = make_shelves()
    page = visit(**look)
    page.goto(product.get_absolute_url())
    page.get_by_role("button", name="Add to cart").click()
    page.get_by_text("1 unit is in your cart").wait_for()

    found = []
    for address in [*pages_of_a_guest(product, gone), *make_sales()]:
        found += problems_of(page, address)

    assert found == []


@LOOKS
def test_every_page_of_an_order_is_sound(visit, look):
    ids = make_orders(user=None)
    payment = Payment.objects.get(order=ids[1])
    page = visit(**look)

    found = []
    for address in [*(f"/orders/{pk}/" for pk in ids), f"/pay/test/{payment.pk}/"]:
        found += problems_of(page, address)

    assert found == []


@LOOKS
def test_every_page_of_an_account_is_sound(visit, look):
    ann = make_account()
    make_orders(user=ann)
    carts.add(carts.create(ann), make_product(), 2)
    page = visit(**look)
    sign_in(page, ann)
    page.get_by_role("link", name="My orders").wait_for()

    found = []
    for address in pages_of_an_account(ann):
        found += problems_of(page, address)

    assert found == []


@LOOKS
def test_every_page_of_the_second_factor_is_sound(visit, look):
    ann = make_account()
    TOTP.activate(ann, "JBSWY3DPEHPK3PXP")
    code = RecoveryCodes.activate(ann).get_unused_codes()[0]
    page = visit(**look)
    sign_in(page, ann)
    page.wait_for_url("**/2fa/authenticate/")

    found = problems_here(page, page.url)
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Sign In").click()
    page.get_by_role("link", name="My orders").wait_for()
    for address in PAGES_WITH_A_SECOND_FACTOR:
        found += problems_of(page, address)

    assert found == []


@LOOKS
def test_forms_that_were_not_understood_are_sound(visit, look):
    """Without scripts a refused form comes back as a page of its own."""
    product, gone = make_shelves()
    item = make_loaded_item(limit=3)
    page = visit(**look)
    page.route("**/*.js", lambda route: route.fulfill(body=""))

    found = []
    page.goto(product.get_absolute_url())
    page.get_by_label("Quantity").fill("9999")
    send(page, "Add to cart")
    found += problems_here(page, "too many")
    page.get_by_label("Quantity").fill("1")
    send(page, "Add to cart")
    page.goto("/checkout/")
    send(page, "Order and hold")
    found += problems_here(page, "no address")
    page.goto(gone.get_absolute_url())
    page.get_by_label("Tell me when it is back").fill("nobody")
    send(page, "Tell me")
    found += problems_here(page, "no e-mail")
    page.goto(item.sale.get_absolute_url())
    page.get_by_label("Quantity").fill("9")
    send(page, "Buy now")
    found += problems_here(page, "over the limit")

    assert found == []


@pytest.mark.django_db
def test_no_page_is_forgotten(sale_redis):
    """Who adds a page adds it above, or says in NO_PAGES that it is none."""
    ann = make_account()
    product, gone = make_shelves()
    visited = [
        *pages_of_a_guest(product, gone),
        *make_sales(),
        *pages_of_an_account(ann),
        *PAGES_WITH_A_SECOND_FACTOR,
        "/accounts/2fa/authenticate/",
        f"/orders/{uuid4()}/",
        f"/pay/test/{uuid4()}/",
    ]

    names = {name_of(address.partition("?")[0]) for address in visited}

    assert pages(get_resolver()) - names == NO_PAGES


def name_of(path):
    try:
        return resolve(path).view_name
    except Resolver404:
        return None


def pages(resolver, prefix=""):
    """Names of all addresses of the shop and its accounts."""
    found = set()
    for pattern in resolver.url_patterns:
        if str(pattern.pattern).startswith(("admin/", "api/")):
            continue
        if hasattr(pattern, "url_patterns"):
            found |= pages(
                pattern, f"{pattern.namespace}:" if pattern.namespace else ""
            )
        elif pattern.name not in (None, "healthz", "readyz", "metrics"):
            found.add(f"{prefix}{pattern.name}")
    return found
