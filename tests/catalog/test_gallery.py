from importlib import import_module

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from catalog import gallery
from catalog.models import Product, ProductPicture
from tests.factories import make_product, make_staff

pytestmark = pytest.mark.django_db


def hang(product, *names):
    for position, name in enumerate(names, start=1):
        ProductPicture.objects.create(
            product=product, file=name, alt=f"Shows {name}", position=position
        )
    gallery.arrange(product.pk)


def order_of(product):
    return list(product.pictures.values_list("file", "position"))


def save_inline(client, product, *rows, files=None, deleted=()):
    """Post the product's form in the dashboard with these pictures; the response."""
    there = sum("id" in row for row in rows)
    data = {
        "name": product.name,
        "sku": product.sku,
        "price": "9.99",
        "slug": product.slug,
        "handle": product.handle,
        "is_published": "on",
        "pictures-TOTAL_FORMS": len(rows),
        "pictures-INITIAL_FORMS": there,
    }
    for number, row in enumerate(rows):
        data |= {f"pictures-{number}-{name}": value for name, value in row.items()}
        if number in deleted:
            data[f"pictures-{number}-DELETE"] = "on"
    data |= files or {}
    return client.post(reverse("admin:catalog_product_change", args=[product.pk]), data)


def test_the_first_picture_is_the_one_of_lists():
    product = make_product()
    hang(product, "products/a.png", "products/b.png")

    ProductPicture.objects.filter(file="products/a.png").update(position=9)
    gallery.arrange(product.pk)

    product.refresh_from_db()
    assert product.picture == "products/b.png"
    assert order_of(product) == [("products/b.png", 1), ("products/a.png", 2)]


def test_arranging_again_changes_and_records_nothing():
    product = make_product()
    hang(product, "products/a.png")
    versions = product.history.count()

    gallery.arrange(product.pk)

    assert product.history.count() == versions


def test_a_product_page_shows_all_pictures_and_loads_only_the_first(client):
    product = make_product("Clay pot")
    hang(product, "products/a.png", "products/b.png", "products/c.png")

    page = client.get(product.get_absolute_url()).content.decode()

    slides = page.partition('class="thumbs"')[0].split("<figure")[1:]
    assert ["lazy" in slide for slide in slides] == [False, True, True]
    assert 'alt="Shows products/b.png"' in slides[1]
    assert 'href="#picture-3"' in page
    assert page.count('itemprop="image"') == 3
    assert 'property="og:image"' in page.replace("\n", "")
    assert page.partition("og:image")[2].split('"')[2].endswith("/products/a.png")


def test_one_picture_needs_no_thumbnails(client):
    product = make_product()
    hang(product, "products/a.png")

    page = client.get(product.get_absolute_url()).content.decode()

    assert "thumbs" not in page
    assert 'alt="Shows products/a.png"' in page


def test_a_merchant_adds_orders_and_deletes_pictures(client, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    client.force_login(make_staff("stock editor"))
    product = make_product()
    hang(product, "products/a.png", "products/b.png")
    first, second = product.pictures.all()
    own = {"product": product.pk}

    response = save_inline(
        client,
        product,
        {"id": first.pk, "alt": "", "position": 1, **own},
        {"id": second.pk, "alt": "", "position": 2, **own},
        {"alt": "On a table", "position": 1, **own},
        files={"pictures-2-file": SimpleUploadedFile("new.png", b"picture")},
        deleted=[0],
    )

    assert response.status_code == 302, response.context["errors"]
    names = [name for name, _ in order_of(product)]
    assert len(names) == 2
    assert names[0] == "products/b.png" or "new" in names[0]
    product.refresh_from_db()
    assert product.picture == names[0]
    assert {p.alt for p in product.pictures.all()} == {"", "On a table"}


@pytest.mark.parametrize(
    ("name", "size", "sentence"),
    [("page.html", 10, "not allowed"), ("big.png", 2_000_001, "larger than")],
)
def test_a_file_that_is_no_picture_or_too_large_is_refused(
    client, settings, tmp_path, name, size, sentence
):
    settings.MEDIA_ROOT = tmp_path
    client.force_login(make_staff("stock editor"))
    product = make_product()

    response = save_inline(
        client,
        product,
        {"alt": "", "position": 1, "product": product.pk},
        files={"pictures-0-file": SimpleUploadedFile(name, b"x" * size)},
    )

    assert response.status_code == 200
    assert sentence in response.content.decode()
    assert not product.pictures.exists()


def test_a_viewer_cannot_change_pictures(client):
    client.force_login(make_staff("viewer"))
    product = make_product()
    hang(product, "products/a.png")

    page = client.get(reverse("admin:catalog_product_change", args=[product.pk]))

    assert "pictures-0-alt" not in page.content.decode()
    assert save_inline(client, product).status_code == 403


def test_pictures_of_before_become_the_first_of_their_products():
    product = make_product(picture="products/old.png")
    migration = import_module("catalog.migrations.0007_first_pictures")

    migration.copy(apps, None)
    migration.copy(apps, None)

    assert order_of(product) == [("products/old.png", 1)]
    assert Product.objects.get(pk=product.pk).picture == "products/old.png"
