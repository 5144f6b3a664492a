"""A refund that waits, as the merchant meets it on the order's page."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from sales import checkout, payments
from sales.models import Payment
from tests.factories import make_order, make_staff
from tests.picky_provider import PickyProvider

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]


def test_a_refund_that_waits_is_tried_by_a_button(staff, monkeypatch):
    provider = PickyProvider()
    monkeypatch.setattr(payments, "GATEWAYS", {provider.name: provider})
    order = make_order(quantity=2)
    checkout.finish(checkout.begin_payment(order.pk).pk, "paid")
    checkout.refund(order.pk, restock=True)
    page = staff(make_staff("owner"), viewport={"width": 1280, "height": 800})
    page.goto(reverse("admin:sales_order_change", args=[order.pk]))
    warning = page.locator(".merchant-warning")
    expect(warning).to_contain_text("There is not enough money.")

    provider.reason = ""
    page.get_by_role("link", name="Try the refund now").click()
    page.locator("#dialog").get_by_role("button", name="Try now").click()

    done = f"The money of order {order.number} is on its way back."
    expect(page.get_by_text(done, exact=True)).to_be_visible()
    expect(warning).to_have_count(0)
    assert Payment.objects.get().handled_at is not None
