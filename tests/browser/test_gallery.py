"""A product's pictures in a real Chromium: by pointer, by keys, without scripts."""

import pytest
from playwright.sync_api import expect

from catalog import gallery
from catalog.models import ProductPicture
from tests.browser.test_storefront import NO_SCRIPTS, PHONE
from tests.factories import make_product


@pytest.fixture
def product(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    (tmp_path / "products").mkdir()
    product = make_product()
    for name in ("a", "b", "c"):
        drawing = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 4 3'/>"
        (tmp_path / "products" / f"{name}.svg").write_text(drawing)
        ProductPicture.objects.create(
            product=product, file=f"products/{name}.svg", alt=f"Side {name}"
        )
    gallery.arrange(product.pk)
    return product


def see(page, side):
    picture = page.get_by_role("img", name=f"Side {side}")
    expect(picture).to_be_in_viewport(ratio=0.9)


@pytest.mark.parametrize("options", [{}, PHONE, NO_SCRIPTS], ids=["", "phone", "plain"])
def test_a_thumbnail_shows_its_picture(visit, product, options):
    page = visit(**options)
    page.goto(product.get_absolute_url())

    page.get_by_role("link", name="Picture 3: Side c").click()

    see(page, "c")


def test_pictures_turn_by_keyboard_and_the_mark_follows(visit, product):
    page = visit()
    page.goto(product.get_absolute_url())

    page.get_by_role("group", name="Pictures").focus()
    page.keyboard.press("ArrowRight")

    see(page, "b")
    page.locator(".thumbs [aria-current]").and_(
        page.get_by_role("link", name="Picture 2: Side b")
    ).wait_for()


def test_turning_pictures_does_not_fill_the_history(visit, product):
    page = visit()
    page.goto("/products/")
    page.get_by_role("link", name=product.name).click()
    page.wait_for_url(f"**{product.get_absolute_url()}")
    page.get_by_role("link", name="Picture 2: Side b").click()
    see(page, "b")

    page.go_back()

    assert page.url.endswith("/products/")
