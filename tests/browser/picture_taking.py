"""Takes pictures of pages on the way through a running shop."""

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

DIRECTORY = Path(__file__).parents[2] / "docs" / "pictures"
MOST_BYTES = 150_000
WIDE = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 360, "height": 740}}
DARK = {**WIDE, "color_scheme": "dark"}
MERCHANT, SHOPPER = "merchant@demo.test", "shopper@demo.test"
PASSWORD = "holdfast-demo"

Take = Callable[[Page], None]


def shot(pages: dict[str, Take]) -> Callable[[Take], Take]:
    """Register how to get to a page; its picture is named like the function."""

    def register(take: Take) -> Take:
        pages[take.__name__.replace("_", "-")] = take
        return take

    return register


def go(page: Page, address: str) -> None:
    page.goto(address, wait_until="networkidle")


class Taker:
    """Walks through pages and keeps what it sees."""

    def __init__(self, browser: Browser, shop: str, only: set[str]) -> None:
        self.browser, self.shop, self.only = browser, shop, only
        self.missing: list[str] = []

    def all_of(
        self, pages: dict[str, Take], look: dict, *, tail: str = "", who: str = ""
    ) -> None:
        """Go through `pages` in their order as one visitor."""
        if self.only and not self.only & set(pages):
            return
        context = self.browser.new_context(
            base_url=self.shop, locale="en-US", timezone_id="UTC", **look
        )
        context.set_default_timeout(60_000)
        page = context.new_page()
        if who:
            page.goto("/accounts/login/")
            page.get_by_label("Email").fill(who)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign In").click()
            page.wait_for_url(self.shop.rstrip("/") + "/")
        for name, take in pages.items():
            try:
                take(page)
                if not self.only or name in self.only:
                    keep(page, f"{name}{tail}")
            except Exception as error:  # the others are still worth taking
                self.missing.append(f"{name}{tail}: {str(error).splitlines()[0]}")
        context.close()


def keep(page: Page, name: str) -> None:
    """Save what is seen, with as many colours as fit into MOST_BYTES."""
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colors in (256, 128, 64, 32):
        data = io.BytesIO()
        small = picture.quantize(colors, dither=Image.Dither.NONE)
        small.save(data, "PNG", optimize=True)
        if data.tell() <= MOST_BYTES:
            break
    (DIRECTORY / f"{name}.png").write_bytes(data.getvalue())
