"""The shop speaks the visitor's language; what is compiled is what was translated."""

from gettext import GNUTranslations

import pytest
from babel.messages.pofile import read_po
from django.conf import settings

from tests.factories import make_product

FILE = settings.LOCALE_PATHS[0] / "id" / "LC_MESSAGES" / "django"


def test_the_compiled_file_is_that_of_the_source():
    with FILE.with_suffix(".po").open("rb") as source:
        written = [message for message in read_po(source, locale="id") if message.id]
    with FILE.with_suffix(".mo").open("rb") as compiled:
        used = GNUTranslations(compiled)

    for message in written:
        if isinstance(message.id, str):
            assert used.gettext(message.id) == message.string != ""
        else:
            assert used.ngettext(*message.id, 5) == message.string[0] != ""


@pytest.mark.django_db
def test_the_shop_answers_in_the_browsers_language(client):
    product = make_product(on_hand=1, low_stock_level=5)

    page = client.get(
        product.get_absolute_url(), headers={"Accept-Language": "id-ID,id;q=0.9"}
    ).text

    assert '<html lang="id">' in page
    assert "Masukkan keranjang" in page
    assert "Tinggal 1" in page
    assert "US$9,99" in page


@pytest.mark.django_db
def test_a_chosen_language_stays(client):
    response = client.post("/i18n/setlang/", {"language": "id", "next": "/cart/"})

    assert response["Location"] == "/cart/"
    assert "Keranjang Anda kosong" in client.get("/cart/").text
