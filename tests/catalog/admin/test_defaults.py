import pytest
from django.urls import reverse

from catalog import thresholds
from catalog.models import Category, Store, ThresholdChange
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db


def confirm(client, url, data):
    """Post defaults, look at the preview, agree; gives the plan and the last answer."""
    shown = client.post(url, data)
    plan = shown.context["plan"]
    return plan, client.post(url, {**data, "mark": plan.mark}, follow=True)


def test_category_defaults_rewrite_the_heirs_and_say_how_many(admin_client):
    garden = make_category("Garden")
    pot = make_product(on_hand=5, inherits_threshold=True, category=garden)
    make_product(on_hand=5, safety_threshold=1, category=garden)

    plan, response = confirm(
        admin_client,
        f"/admin/catalog/category/{garden.pk}/change/",
        {
            "name": "Garden and patio",
            "slug": garden.slug,
            "position": 0,
            "safety_threshold": 5,
            "low_stock_level": "",
        },
    )

    assert (len(plan.changes), plan.becoming_out) == (1, 1)
    html = response.content.decode()
    assert "1 product took over the new numbers, 1 changed its status." in html
    pot.stock.refresh_from_db()
    assert (pot.stock.safety_threshold, pot.stock.is_out) == (5, True)
    garden.refresh_from_db()
    assert (garden.name, garden.safety_threshold) == ("Garden and patio", 5)


def test_category_cannot_be_put_inside_itself(admin_client):
    garden = make_category("Garden")
    pots = make_category("Pots", parent=garden)

    response = admin_client.post(
        f"/admin/catalog/category/{garden.pk}/change/",
        {"name": "Garden", "slug": garden.slug, "position": 0, "parent": pots.pk},
    )

    assert "lies inside this category" in response.content.decode()
    assert Category.objects.get(pk=garden.pk).parent is None


def test_moving_a_category_rewrites_its_heirs(admin_client):
    garden = make_category("Garden", safety_threshold=4)
    pots = make_category("Pots")
    pot = make_product(inherits_threshold=True, category=pots)

    confirm(
        admin_client,
        f"/admin/catalog/category/{pots.pk}/change/",
        {"name": "Pots", "slug": pots.slug, "position": 0, "parent": garden.pk},
    )

    pot.stock.refresh_from_db()
    assert pot.stock.safety_threshold == 4


def test_store_defaults_rewrite_every_heir(admin_client):
    pot = make_product(on_hand=5, inherits_threshold=True)

    response = admin_client.get("/admin/catalog/store/", follow=True)
    assert response.status_code == 200
    confirm(
        admin_client,
        "/admin/catalog/store/1/change/",
        {"safety_threshold": 2, "low_stock_level": 9},
    )

    pot.stock.refresh_from_db()
    assert pot.stock.safety_threshold == 2
    assert Store.objects.get().history.first().safety_threshold == 2


def test_defaults_are_not_saved_before_their_preview_was_seen(admin_client):
    pot = make_product(on_hand=5, inherits_threshold=True)
    thresholds.store()
    url, data = "/admin/catalog/store/1/change/", {"low_stock_level": 5}
    shown = admin_client.post(url, {**data, "safety_threshold": 2})

    assert shown.context["plan"].changes
    assert thresholds.store().safety_threshold == 0
    other = admin_client.post(
        url, {**data, "safety_threshold": 3, "mark": shown.context["plan"].mark}
    )

    assert other.status_code == 409
    assert [c.threshold.after for c in other.context["plan"].changes] == [3]
    pot.stock.refresh_from_db()
    assert (pot.stock.safety_threshold, thresholds.store().safety_threshold) == (0, 0)


def test_defaults_that_rewrite_nothing_are_saved_at_once(admin_client):
    garden = make_category("Garden")

    response = admin_client.post(
        f"/admin/catalog/category/{garden.pk}/change/",
        {"name": "Patio", "slug": garden.slug, "position": 0, "safety_threshold": 5},
    )

    assert response.status_code == 302
    garden.refresh_from_db()
    assert (garden.name, garden.safety_threshold) == ("Patio", 5)


def test_change_of_a_default_is_undone_with_its_heirs(admin_client):
    pot = make_product(on_hand=5, inherits_threshold=True)
    garden = make_category("Garden")
    mug = make_product(on_hand=5, inherits_threshold=True, category=garden)
    url = f"/admin/catalog/category/{garden.pk}/change/"
    data = {"name": "Garden", "slug": garden.slug, "position": 0, "safety_threshold": 5}
    confirm(admin_client, url, data)
    change = ThresholdChange.objects.get()

    admin_client.post(reverse("admin:catalog_thresholdchange_undo", args=[change.pk]))

    garden.refresh_from_db()
    mug.stock.refresh_from_db()
    pot.stock.refresh_from_db()
    assert garden.safety_threshold is None
    assert (mug.stock.safety_threshold, mug.stock.is_out) == (0, False)
    assert pot.stock.version == 1


@pytest.mark.parametrize("model", ["product", "category", "store"])
def test_old_versions_are_for_reading(admin_client, model):
    rows = {"product": make_product, "category": make_category}
    row = rows.get(model, thresholds.store)()
    version = row.history.first().pk
    history = reverse(f"admin:catalog_{model}_history", args=[row.pk])
    url = reverse(f"admin:catalog_{model}_simple_history", args=[row.pk, version])

    assert admin_client.get(history).status_code == 200
    assert admin_client.post(url, {"safety_threshold": 9}).status_code == 403
