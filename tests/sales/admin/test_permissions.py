import pytest
from django.urls import reverse

from sales.models import FlashSale, SaleState
from tests.factories import make_item, make_order, make_product, make_sale, make_staff
from tests.sales.admin.pages import SALES, order_page, sale_data, sale_page

pytestmark = pytest.mark.django_db

SALE_POSTS = [
    *("change", "delete", "schedule", "preload", "pause", "resume", "end", "cancel"),
    *("change_units", "change_price", "change_limit", "change_closing", "clone"),
]


@pytest.mark.parametrize("role", ["viewer", "stock editor"])
@pytest.mark.parametrize("action", SALE_POSTS)
def test_sales_are_not_managed_without_the_role(client, role, action):
    client.force_login(make_staff(role))
    sale = make_item(sale=make_sale()).sale

    response = client.post(sale_page(sale, action), {"post": "yes"})

    assert response.status_code == 403
    sale.refresh_from_db()
    assert sale.state == SaleState.DRAFT


@pytest.mark.parametrize("action", ["cancel", "refund"])
def test_viewer_handles_no_orders(client, action):
    client.force_login(make_staff("viewer"))
    order = make_order()

    assert client.post(order_page(order, action)).status_code == 403


def test_viewer_reads_sales_and_orders_without_a_button(client):
    client.force_login(make_staff("viewer"))
    sale, order = make_item(sale=make_sale()).sale, make_order()

    for url in (sale_page(sale), order_page(order), SALES, "/admin/sales/order/"):
        response = client.get(url)
        html = response.content.decode()
        assert response.status_code == 200
        for word in ("/schedule/", "/cancel/", "/clone/", "/add/", 'name="_save"'):
            assert word not in html


@pytest.mark.redis
def test_sale_manager_plans_and_runs_a_sale(client, sale_redis):
    client.force_login(make_staff("sale manager"))
    pot = make_product()

    client.post(f"{SALES}add/", sale_data({"product": pot.pk, "requested_units": 2}))
    sale = FlashSale.objects.get()
    client.post(sale_page(sale, "schedule"))
    client.post(sale_page(sale, "preload"))

    sale.refresh_from_db()
    assert sale.state == SaleState.LOADED
    assert client.post("/admin/catalog/stock/", {"_save": "x"}).status_code == 403


def test_stock_editor_changes_stock_and_nobody_elses_things(client):
    client.force_login(make_staff("stock editor"))
    pot = make_product(on_hand=3)

    url = reverse("admin:catalog_stock_receive", args=[pot.pk])
    client.post(url, {"quantity": 2, "reason": "delivery"})

    pot.stock.refresh_from_db()
    assert pot.stock.on_hand == 5
    assert client.get("/admin/auth/user/").status_code == 403
    assert client.get("/admin/django_rq/dashboard/").status_code == 403


def test_owner_sees_accounts_and_queues_and_makes_no_superuser(client, admin_user):
    client.force_login(make_staff("owner"))

    assert client.get("/admin/auth/user/").status_code == 200
    assert client.get("/admin/django_rq/dashboard/").status_code == 200
    page = reverse("admin:auth_user_change", args=[admin_user.pk])
    assert client.post(page, {"is_superuser": "on"}).status_code == 403


@pytest.mark.parametrize("name", ["overview", "chart"])
def test_fragments_are_for_staff(client, django_user_model, name):
    client.force_login(django_user_model.objects.create_user("shopper@example.org"))

    response = client.get(reverse(f"admin:sales_{name}"), follow=True)

    assert response.status_code == 403


def test_staff_without_a_role_sees_no_figures(client, django_user_model):
    user = django_user_model.objects.create_user("new@example.org", is_staff=True)
    client.force_login(user)
    sale, pot = make_sale(), make_product()

    assert "statuses" not in client.get("/admin/").context
    for fragment in ("live", "preflight", "audit", "report"):
        assert client.get(sale_page(sale, fragment)).status_code == 403
    promises = reverse("admin:sales_stock_promises", args=[pot.pk])
    assert client.get(promises).status_code == 403
    assert client.get(reverse("admin:sales_chart")).status_code == 403
