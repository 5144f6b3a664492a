"""A real Chromium for the pages of a live server, and its complaints."""

import pytest
from django.conf import settings
from django.test import Client

from tests import chromium

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


def pytest_collection_modifyitems(items):
    for item in items:
        if "/browser/" in str(item.path):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser_type_launch_args():
    return {"executable_path": chromium.find(), "args": ARGUMENTS}


@pytest.fixture
def visit(browser, live_server, sale_redis):
    """`visit(**options)` gives a new visitor's page of the shop.

    The test fails if the browser complained about a page, or asked another host.
    """
    contexts, complaints = [], []

    def new_visitor(**options):
        context = browser.new_context(base_url=live_server.url, **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", note_console)
        page.on("request", note_request)
        return page

    def note_console(message):
        if message.type == "error" and not any(a in message.text for a in ANSWERS):
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
