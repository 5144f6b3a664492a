"""A real Chromium for the pages of a live server, and its complaints."""

import threading
from urllib.request import urlopen

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import expect

from tests import chromium

PATIENCE = 60_000  # milliseconds; only a page that never comes round waits so long
expect.set_options(timeout=PATIENCE)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# An answer like 422 is one we meant; Chromium notes each as a failed resource.
ANSWERS = ("status of 404", "status of 409", "status of 422")
# A claim takes the place of a poll that is under way, and htmx notes that as well. A
# request that failed is noted as another thing, too.
GIVEN_UP = ("htmx:afterRequest,", "htmx:sendAbort,")
# Until its scripts run, a page is one without scripts: no test may click it so soon.
NO_CLICK_BEFORE_LOAD = """
const asleep = new CSSStyleSheet();
asleep.replaceSync("* { pointer-events: none !important }");
document.adoptedStyleSheets = [asleep];
addEventListener("load", () => { document.adoptedStyleSheets = []; });
"""


def pytest_collection_modifyitems(items):
    for item in items:
        if "/browser/" in str(item.path):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser_type_launch_args():
    path = chromium.find()
    return {"executable_path": path, "args": ARGUMENTS, "timeout": 3 * PATIENCE}


@pytest.fixture
def answered(live_server):
    """At the end of the test, wait until the shop has answered all it was asked.

    What it would still write then could be found by the next test.
    """
    yield
    with urlopen(f"{live_server.url}/healthz", timeout=60):
        pass  # whoever came before is being served by now
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(60)


@pytest.fixture
def visit(browser, live_server, sale_redis, answered):
    """`visit(**options)` gives a new visitor's page of the shop.

    The test fails if the browser complained about a page, or asked another host.
    """
    contexts, complaints = [], []

    def new_visitor(**options):
        context = browser.new_context(base_url=live_server.url, **options)
        context.set_default_timeout(PATIENCE)
        if options.get("java_script_enabled", True):
            context.add_init_script(NO_CLICK_BEFORE_LOAD)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", note_console)
        page.on("request", note_request)
        return page

    def note_console(message):
        is_meant = message.text.startswith(GIVEN_UP) or any(
            answer in message.text for answer in ANSWERS
        )
        if message.type == "error" and not is_meant:
            complaints.append(message.text)

    def note_request(request):
        if not request.url.startswith((live_server.url, "data:")):
            complaints.append(f"another host: {request.url}")

    yield new_visitor
    for context in contexts:
        context.close()
    assert complaints == []


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
