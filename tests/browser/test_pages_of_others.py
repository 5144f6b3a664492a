"""Pages of the dashboard that come from libraries' templates, as axe-core sees them."""

import pytest
from django.urls import reverse

from sales import audit, flash
from tests.browser.test_merchant import WIDE, barriers
from tests.factories import make_loaded_item, make_staff

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_from_templates_of_others_have_no_serious_barrier(
    staff, django_user_model, scheme
):
    item = make_loaded_item()
    flash.advance()
    audit.pause_item(item.pk, "it does not add up")
    role = make_staff("viewer").groups.get()
    page = staff(
        django_user_model.objects.create_superuser("root@shop.test"),
        color_scheme=scheme,
        **WIDE,
    )

    for address in (
        reverse("admin:catalog_product_changelist"),
        reverse("admin:auth_group_change", args=[role.pk]),
        reverse("admin:sales_flashsale_add"),
        reverse("admin:sales_flashsale_change", args=[item.sale_id]),
    ):
        assert page.goto(address).status == 200, address
        assert barriers(page) == [], address
