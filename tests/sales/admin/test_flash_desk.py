import re
from uuid import uuid4

import pytest
from django.urls import reverse

from sales import audit, counters, desk, flash, jobs, sync
from sales.models import SaleState
from tests.factories import make_item, make_loaded_item, make_product, make_sale
from tests.sales.admin.pages import sale_page

pytestmark = pytest.mark.django_db


@pytest.mark.redis
def test_live_panel_shows_redis_and_what_is_not_synced(admin_client, sale_redis):
    item = make_loaded_item(units=5, product=make_product(on_hand=5))
    sync.drain(item.pk)
    for _ in range(2):
        flash.claim(item.pk, order_id=uuid4(), buyer="g:1", quantity=1)

    response = admin_client.get(sale_page(item.sale, "live"))

    html = response.content.decode()
    for name, number in [("left", 3), ("held", 2), ("paid", 0), ("unsynced", 2)]:
        assert f'data-figure="{name}">{number}<' in html
    assert response.status_code == 200


def test_live_panel_of_a_finished_sale_stops_asking(admin_client):
    sale = make_sale(state=SaleState.SETTLED)

    assert admin_client.get(sale_page(sale, "live")).status_code == 286


@pytest.mark.redis
def test_live_panel_without_redis_shows_the_last_sync_and_says_so(
    admin_client, sale_redis
):
    item = make_loaded_item(units=5)
    sale_redis.flushall()

    html = admin_client.get(sale_page(item.sale, "live")).content.decode()

    assert "did not answer" in html
    assert 'data-figure="left">5<' in html


@pytest.mark.redis
def test_stopped_product_says_why_on_the_live_panel_and_the_first_page(
    admin_client, sale_redis
):
    item = make_loaded_item(product=make_product("Clay pot"), units=5)
    flash.advance()
    urls = (sale_page(item.sale, "live"), reverse("admin:index"))
    for url in urls:
        assert "Paused" not in admin_client.get(url).content.decode()

    audit.pause_item(item.pk, "it does not add up")

    panel, first_page = (admin_client.get(url).content.decode() for url in urls)
    assert "Nobody can buy 1 product just now" in panel
    assert "it does not add up</small>" in panel
    for html in (panel, first_page):
        assert "Paused" in html


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_live_panel_says_who_is_refused_how_fast_and_what_the_audit_says(
    admin_client, sale_redis
):
    item = make_loaded_item(product=make_product("Clay pot", on_hand=2), units=2)
    flash.claim(item.pk, order_id=uuid4(), buyer="g:1", quantity=2)
    with pytest.raises(counters.ClaimRefused):
        flash.claim(item.pk, order_id=uuid4(), buyer="g:2", quantity=2)
    sync.drain(item.pk)
    audit.run()

    html = admin_client.get(sale_page(item.sale, "live")).content.decode()

    assert 'data-figure="claims">2<' in html
    assert "1 admitted, 1 refused" in html
    assert "All held by others" in html
    assert "Everything holds" in html
    assert re.search(r'data-figure="per-second">\s*0\.[1-9]', html)


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_verdict_of_a_sale_is_of_its_own_items(sale_redis):
    item, other = make_loaded_item(units=2), make_loaded_item(units=2)
    counters.client().hincrby(counters.keys(other.pk)[0], "left", 1)

    run = audit.run(pause=False)

    assert audit.verdict_on(run, [item.pk]) == "holds"
    assert audit.verdict_on(run, [other.pk]) == "drift"
    assert audit.verdict_on(run, [item.pk + other.pk]) == "unknown"


@pytest.mark.redis
def test_live_panel_runs_the_same_queries_for_one_item_and_for_ten(
    admin_client, sale_redis, django_assert_num_queries
):
    item = make_item(units=1)
    admin_client.get(sale_page(item.sale, "live"))
    with django_assert_num_queries(7):
        admin_client.get(sale_page(item.sale, "live"))
    for _ in range(9):
        make_item(sale=item.sale, units=1)
    flash.preload(item.sale_id)

    with django_assert_num_queries(7):
        admin_client.get(sale_page(item.sale, "live"))


@pytest.mark.redis
def test_bar_parts_sum_up_to_the_units(sale_redis):
    item = make_loaded_item(
        product=make_product(on_hand=10, safety_threshold=4), units=10
    )
    flash.claim(item.pk, order_id=uuid4(), buyer="g:1", quantity=2)

    (now,) = desk.sales_now(desk.current_sales())

    (item_now,) = now.items
    assert [(name, units) for name, units, _percent in item_now.bar] == [
        ("paid", 0),
        ("promised", 2),
        ("sellable", 4),
        ("kept", 4),
    ]
    assert sum(percent for _name, _units, percent in item_now.bar) == 100


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)  # the audit wants one moment
def test_audit_of_a_sale_shows_each_invariant_with_its_verdict(
    admin_client, sale_redis
):
    item = make_loaded_item(units=5)
    flash.claim(item.pk, order_id=uuid4(), buyer="g:1", quantity=2)

    html = admin_client.get(sale_page(item.sale, "audit")).content.decode()

    assert "Everything holds" in html
    assert "units 5" in html


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)  # the audit wants one moment
def test_audit_runs_are_listed_and_read_only(admin_client, sale_redis):
    make_loaded_item(units=5)
    run = audit.run()
    page = reverse("admin:sales_auditrun_change", args=[run.pk])

    assert admin_client.get("/admin/sales/auditrun/").status_code == 200
    assert "Everything holds" in admin_client.get(page).content.decode()
    assert admin_client.post(page).status_code == 403
    assert "Everything holds" in admin_client.get("/admin/").content.decode()


@pytest.mark.redis
def test_preflight_is_no_go_then_go(admin_client, sale_redis, monkeypatch):
    item = make_item(sale=make_sale(opens_in=60), units=5)

    refused = admin_client.get(sale_page(item.sale, "preflight"))
    admin_client.post(sale_page(item.sale, "schedule"))
    monkeypatch.setattr(jobs, "schedules", lambda: 1)
    monkeypatch.setattr(jobs, "queues", list)
    ready = admin_client.get(sale_page(item.sale, "preflight"))

    assert "No-go" in refused.content.decode()
    assert "is a draft" in refused.content.decode()
    assert ready.context["missing"] == 0


@pytest.mark.redis
def test_report_is_a_page_and_a_file(admin_client, sale_redis):
    item = make_loaded_item(product=make_product("Clay pot", sku="POT"), units=5)

    page = admin_client.get(sale_page(item.sale, "report"))
    file = admin_client.get(sale_page(item.sale, "report"), {"format": "csv"})

    assert "5 = 5 left + 0 held + 0 paying + 0 paid" in page.content.decode()
    assert file.headers["Content-Type"].startswith("text/csv")
    assert file.content.decode().splitlines()[1].startswith("POT,5,5,")


def test_units_of_an_offer_of_everything_read_all_once_it_cannot_be_edited(
    admin_client,
):
    item = make_item(sale=make_sale(state="settled"), units=None)

    html = admin_client.get(sale_page(item.sale)).content.decode()

    assert re.search(r">\s*all\s*<", html)
