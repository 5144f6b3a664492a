import pytest
from django.urls import reverse

from catalog import thresholds
from tests.catalog.admin.desk import DESK, page, product_data
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db

POSTS = [
    ("catalog_stock_changelist", False),
    ("catalog_stock_change", True),
    ("catalog_stock_adjust", True),
    ("catalog_stock_receive", True),
    ("catalog_stock_levels_file", False),
    ("catalog_stock_views", False),
    ("catalog_stock_view", True),
    ("catalog_product_add", False),
    ("catalog_product_change", True),
    ("catalog_product_delete", True),
    ("catalog_product_import_file", False),
    ("catalog_category_add", False),
    ("catalog_category_change", True),
    ("catalog_category_delete", True),
    ("catalog_store_change", True),
    ("catalog_alertrule_add", False),
    ("catalog_webhookendpoint_add", False),
]
PAGES = [
    "product",
    "stock",
    "category",
    "stockmovement",
    "statuschange",
    "thresholdchange",
    "alert",
    "alertrule",
]


def address(name, has_row):
    pot = make_product(category=make_category())
    pk = {"store": thresholds.store().pk, "category": pot.category_id}.get(
        name.split("_")[1], pot.pk
    )
    return reverse(f"admin:{name}", args=[pk] if has_row else [])


@pytest.mark.parametrize(("name", "has_row"), POSTS)
def test_viewer_is_refused_every_post(viewer, name, has_row):
    response = viewer.post(address(name, has_row), {"_save": "Save"})

    assert response.status_code == 403


def test_viewer_cannot_put_an_old_version_back(viewer):
    pot = make_product("Clay pot")
    version = pot.history.get().pk
    url = reverse("admin:catalog_product_simple_history", args=[pot.pk, version])

    assert viewer.get(url).status_code == 200
    response = viewer.post(url, product_data(name="Free for all", sku=pot.sku))

    assert response.status_code == 403
    pot.refresh_from_db()
    assert pot.name == "Clay pot"


@pytest.mark.parametrize("model", PAGES)
def test_viewer_reads_every_list_and_sees_no_button(viewer, model):
    pot = make_product(category=make_category())
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=20)})

    html = viewer.get(f"/admin/catalog/{model}/").content.decode()

    assert "/add/" not in html
    assert 'name="_save"' not in html
    assert "adjust" not in html.lower().replace("adjustment", "")


def test_viewer_sees_no_button_on_the_stock_page(viewer):
    html = viewer.get(page(make_product())).content.decode()

    assert "/adjust/" not in html
    assert "/receive/" not in html


@pytest.mark.parametrize(("name", "has_row"), POSTS)
def test_shopper_is_sent_away(shopper, name, has_row):
    url = address(name, has_row)

    assert shopper.get(url, follow=True).status_code == 403
    assert shopper.post(url, follow=True).status_code == 403


def test_stranger_is_asked_to_sign_in(client):
    response = client.get(DESK, follow=True)

    assert response.redirect_chain[-1][0].startswith(reverse("account_login"))


def test_dashboard_alone_has_the_loose_policy(admin_client, client):
    loose = admin_client.get(DESK).headers["Content-Security-Policy"]
    strict = client.get(reverse("account_login")).headers["Content-Security-Policy"]

    assert "unsafe-eval" in loose
    assert "unsafe" not in strict
