"""Rows read as names in the dashboard, not as numbers of other rows."""

import pytest

from catalog import stock
from catalog.models import RestockRequest, StatusChange, StockMovement
from tests.factories import make_product

pytestmark = pytest.mark.django_db


def test_stock_and_its_ledger_read_as_the_product():
    product = make_product("Clay pot", on_hand=6, low_stock_level=5)
    stock.receive(product.pk, 1, note=stock.Note())
    stock.adjust(product.pk, on_hand=2, note=stock.Note())

    assert str(product.stock) == "Clay pot"
    assert str(StockMovement.objects.filter(kind="receipt").first()) == (
        "Receipt: Clay pot"
    )
    assert str(StatusChange.objects.get()) == "Clay pot: In stock to Low stock"


def test_a_request_for_a_mail_reads_as_product_and_address():
    request = RestockRequest(product=make_product("Clay pot"), email="a@example.com")

    assert str(request) == "Clay pot for a@example.com"
