"""What the tests of the dashboard look at, and how."""

from pathlib import Path

from playwright.sync_api import expect

from catalog.models import Stock

VENDOR = Path(__file__).parents[1] / "vendor"
AXE = (VENDOR / "axe.min.js").read_text(encoding="utf-8")
GRAVE = ("serious", "critical")
LANDMARKS = ("landmark-one-main", "region")
PHONE = {"viewport": {"width": 360, "height": 740}}
WIDE = {"viewport": {"width": 1280, "height": 900}}
DESK = "admin:catalog_stock_changelist"


def stock_of(product):
    return Stock.objects.get(pk=product.pk)


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
