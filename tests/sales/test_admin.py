import json
import re
from datetime import timedelta
from decimal import Decimal
from io import BytesIO
from uuid import uuid4

import pytest
from django.contrib.admin import site
from django.urls import reverse
from django.utils import timezone
from openpyxl import load_workbook

from catalog import alerts
from sales import audit, checkout, counters, desk, flash, jobs, orders, sync
from sales.admin.orders import OrderAdmin
from sales.models import FlashSale, ItemState, Order, SaleState
from tests.factories import (
    make_item,
    make_loaded_item,
    make_order,
    make_product,
    make_sale,
    make_staff,
)

pytestmark = pytest.mark.django_db

SALES = "/admin/sales/flashsale/"
HTMX = {"HX-Request": "true"}


def sale_page(sale, action="change"):
    return reverse(f"admin:sales_flashsale_{action}", args=[sale.pk])


def order_page(order, action="change"):
    return reverse(f"admin:sales_order_{action}", args=[order.pk])


def sale_data(*items, opens_at=None, hours=2, initial=0, **fields):
    """What the form of a sale sends; each item is a dictionary."""
    opens_at = opens_at or timezone.now() + timedelta(days=1)
    closes_at = opens_at + timedelta(hours=hours)
    data = {
        "name": "Night sale",
        "slug": "night-sale",
        "opens_at_0": f"{opens_at:%Y-%m-%d}",
        "opens_at_1": f"{opens_at:%H:%M:%S}",
        "closes_at_0": f"{closes_at:%Y-%m-%d}",
        "closes_at_1": f"{closes_at:%H:%M:%S}",
        "items-TOTAL_FORMS": len(items),
        "items-INITIAL_FORMS": initial,
        **fields,
    }
    for index, item in enumerate(items):
        defaults = {"requested_units": "", "price": "5.00", "limit_per_buyer": 1}
        for name, value in (defaults | item).items():
            data[f"items-{index}-{name}"] = value
    return data


# -- Planning a sale --------------------------------------------------------------


def test_new_sale_gives_its_window_to_its_items(admin_client):
    pot, jug = make_product("Clay pot"), make_product("Jug")

    response = admin_client.post(
        f"{SALES}add/",
        sale_data({"product": pot.pk, "requested_units": 4}, {"product": jug.pk}),
    )

    assert response.status_code == 302
    sale = FlashSale.objects.get()
    assert sale.state == SaleState.DRAFT
    assert [item.requested_units for item in sale.items.all()] == [4, None]
    assert {(item.opens_at, item.closes_at) for item in sale.items.all()} == {
        (sale.opens_at, sale.closes_at)
    }


def test_moving_a_sale_moves_the_window_of_items_nobody_touched(admin_client):
    item = make_item(sale=make_sale())
    opens_at = timezone.now().replace(microsecond=0) + timedelta(days=3)
    form = {"id": item.pk, "sale": item.sale_id, "product": item.product_id}

    admin_client.post(
        sale_page(item.sale),
        sale_data({**form, "limit_per_buyer": 10}, opens_at=opens_at, initial=1),
    )

    item.refresh_from_db()
    assert item.opens_at == opens_at
    assert item.closes_at == opens_at + timedelta(hours=2)


def test_product_cannot_be_in_two_sales_at_a_time(admin_client):
    other = make_item(sale=make_sale("Harbor Lights", state=SaleState.SCHEDULED))

    response = admin_client.post(
        f"{SALES}add/",
        sale_data({"product": other.product_id}, opens_at=other.opens_at),
    )

    assert "This product is in the sale “Harbor Lights”" in response.content.decode()
    assert FlashSale.objects.count() == 1


def test_product_may_be_in_a_sale_that_begins_when_the_other_ends(admin_client):
    other = make_item()

    response = admin_client.post(
        f"{SALES}add/",
        sale_data(
            {"product": other.product_id},
            opens_at=other.closes_at.replace(microsecond=0) + timedelta(seconds=1),
        ),
    )

    assert response.status_code == 302


def test_sale_must_close_after_it_opens(admin_client):
    response = admin_client.post(f"{SALES}add/", sale_data(hours=-1))

    assert "must close after it opens" in response.content.decode()


@pytest.mark.redis
def test_loaded_sale_is_not_edited_by_its_form(admin_client, sale_redis):
    item = make_loaded_item(units=5)

    response = admin_client.post(sale_page(item.sale), sale_data())

    assert response.status_code == 403
    assert 'name="_save"' not in admin_client.get(sale_page(item.sale)).content.decode()


@pytest.mark.redis
def test_sale_that_is_being_loaded_is_not_overwritten(admin_client, sale_redis):
    item = make_loaded_item(units=5)
    FlashSale.objects.filter(pk=item.sale_id).update(state=SaleState.SCHEDULED)
    form = {"id": item.pk, "sale": item.sale_id, "product": item.product_id}

    response = admin_client.post(
        sale_page(item.sale), sale_data({**form, "price": "1.00"}, initial=1)
    )

    assert "being loaded right now" in response.content.decode()
    item.refresh_from_db()
    assert (item.units, item.price) == (5, Decimal("5.00"))


def test_only_drafts_are_deleted(admin_client):
    draft, planned = make_sale(), make_sale(state=SaleState.SCHEDULED)

    for sale in (draft, planned):
        admin_client.post(sale_page(sale, "delete"), {"post": "yes"})

    assert list(FlashSale.objects.all()) == [planned]


# -- Buttons ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "buttons"),
    [
        ("draft", {"schedule", "cancel", "clone"}),
        ("scheduled", {"preload", "cancel", "clone"}),
        ("live", {"pause", "end", "clone", "change_units", "change_closing"}),
        ("paused", {"resume", "end", "clone", "change_price", "change_limit"}),
        ("settled", {"clone"}),
    ],
)
def test_buttons_fit_the_state_of_the_sale(admin_client, state, buttons):
    sale = make_sale(state=state)

    html = admin_client.get(sale_page(sale)).content.decode()

    every = {
        *("schedule", "preload", "pause", "resume", "end", "cancel", "clone"),
        *("change_units", "change_price", "change_limit", "change_closing"),
    }
    shown = {name for name in every if f'href="{sale_page(sale, name)}"' in html}
    assert buttons <= shown
    assert not (every - buttons - {b for b in every if "change_" in b}) & shown


@pytest.mark.redis
def test_a_product_paused_by_the_audit_can_be_resumed_in_a_live_sale(
    admin_client, sale_redis
):
    item = make_loaded_item()
    flash.advance()
    button = f'href="{sale_page(item.sale, "resume")}"'
    assert button not in admin_client.get(sale_page(item.sale)).content.decode()
    audit.pause_item(item.pk, "it was found")

    assert button in admin_client.get(sale_page(item.sale)).content.decode()
    admin_client.post(sale_page(item.sale, "resume"))

    item.refresh_from_db()
    assert item.state == ItemState.LOADED
    assert button not in admin_client.get(sale_page(item.sale)).content.decode()


def test_asking_for_a_button_changes_nothing(admin_client):
    sale = make_item(sale=make_sale()).sale

    response = admin_client.get(sale_page(sale, "schedule"))

    assert response.status_code == 200
    sale.refresh_from_db()
    assert sale.state == SaleState.DRAFT


def test_schedule_is_logged_with_who_did_it(admin_client, admin_user):
    sale = make_item(sale=make_sale()).sale

    response = admin_client.post(sale_page(sale, "schedule"), follow=True)

    assert "is scheduled" in response.content.decode()
    step = sale.transitions.get()
    assert (step.to_state, step.actor) == ("scheduled", admin_user)


def test_refused_step_says_why_in_the_dialog(admin_client):
    sale = make_sale()

    response = admin_client.post(sale_page(sale, "schedule"), headers=HTMX)

    assert "Add at least one product" in response.content.decode()
    assert "HX-Refresh" not in response.headers


@pytest.mark.redis
def test_preload_pause_resume_and_end_from_the_dashboard(
    admin_client, sale_redis, django_capture_on_commit_callbacks
):
    item = make_item(units=5)
    seen = []

    for name in ("preload", "pause", "resume", "end"):
        with django_capture_on_commit_callbacks(execute=True):
            response = admin_client.post(sale_page(item.sale, name))
        assert response.status_code == 302
        item.sale.refresh_from_db()
        seen.append((item.sale.state, counters.snapshot(item.pk).state))

    assert seen == [
        ("loaded", "open"),
        ("paused", "paused"),
        ("live", "open"),
        ("ended", "ended"),
    ]


@pytest.mark.redis
def test_preload_names_the_product_that_has_too_few_units(admin_client, sale_redis):
    item = make_item(product=make_product(on_hand=3, sku="POT"), units=5)

    response = admin_client.post(sale_page(item.sale, "preload"), follow=True)

    assert "POT: 5 units asked, 3 available" in response.content.decode()


@pytest.mark.redis
def test_units_price_limit_and_closing_of_a_running_sale(admin_client, sale_redis):
    item = make_loaded_item(units=5, limit=1)
    closes_at = timezone.now().replace(second=0, microsecond=0) + timedelta(hours=5)

    admin_client.post(
        sale_page(item.sale, "change_units"),
        {"item": item.pk, "direction": "add", "quantity": 2, "reason": "more came"},
    )
    admin_client.post(
        sale_page(item.sale, "change_limit"), {"item": item.pk, "limit": 3}
    )
    admin_client.post(
        sale_page(item.sale, "change_closing"),
        {"closes_at": f"{closes_at:%Y-%m-%dT%H:%M}"},
    )

    now = counters.snapshot(item.pk)
    assert (now.units, now.limit) == (7, 3)
    assert sync.moment(now.closes_at) == closes_at


@pytest.mark.redis
def test_more_units_than_the_shop_has_are_refused(admin_client, sale_redis):
    item = make_loaded_item(product=make_product(on_hand=6), units=5)

    response = admin_client.post(
        sale_page(item.sale, "change_units"),
        {"item": item.pk, "direction": "add", "quantity": 9, "reason": "more"},
    )

    assert "Only 1 unit is available" in response.content.decode()
    assert counters.snapshot(item.pk).units == 5


def test_clone_is_a_draft_with_the_same_products(admin_client):
    item = make_item(units=4)
    opens_at = timezone.now().replace(second=0, microsecond=0) + timedelta(days=9)

    admin_client.post(
        sale_page(item.sale, "clone"),
        {"name": "Again", "opens_at": f"{opens_at:%Y-%m-%dT%H:%M}"},
    )

    copy = FlashSale.objects.get(name="Again")
    assert copy.state == SaleState.DRAFT
    assert copy.closes_at - copy.opens_at == item.sale.closes_at - item.sale.opens_at
    assert copy.items.get().requested_units == 4


def test_clone_at_the_time_of_the_original_is_refused(admin_client):
    item = make_item(sale=make_sale(opens_in=3600, closes_in=99999))
    opens_at = timezone.now() + timedelta(hours=2)

    response = admin_client.post(
        sale_page(item.sale, "clone"),
        {"name": "Again", "opens_at": f"{opens_at:%Y-%m-%dT%H:%M}"},
    )

    assert "in another sale at that time" in response.content.decode()
    assert FlashSale.objects.count() == 1


# -- Live numbers -----------------------------------------------------------------


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


# -- First page -------------------------------------------------------------------


@pytest.mark.redis
def test_first_page_counts_link_to_the_desk_and_agree_with_it(admin_client, sale_redis):
    make_product(on_hand=0)
    make_product(on_hand=1, low_stock_level=3)
    make_product(on_hand=9)
    make_product(on_hand=9)

    statuses = admin_client.get("/admin/").context["statuses"]

    counts = {status["label"]: status["count"] for status in statuses}
    assert counts == {"In stock": 2, "Low stock": 1, "Out of stock": 1}
    for status in statuses:
        listed = admin_client.get(status["url"]).context["cl"].result_count
        assert listed == status["count"]


@pytest.mark.redis
def test_first_page_shows_live_sales_lag_and_queues(admin_client, sale_redis):
    item = make_loaded_item(units=5, product=make_product("Basecamp tent"))
    flash.claim(item.pk, order_id=uuid4(), buyer="g:1", quantity=2)

    html = admin_client.get(reverse("admin:sales_overview")).content.decode()

    assert "Basecamp tent" in html
    assert "2 held" in html
    assert "no worker" in html


@pytest.mark.redis
def test_first_page_chart_counts_orders_by_channel(admin_client):
    make_order()
    make_order()

    for span in ("hour", "day"):
        context = admin_client.get(f"/admin/?span={span}").context
        flash_orders, shop_orders = json.loads(context["chart"])["datasets"]
        assert sum(shop_orders["data"]) == 2
        assert sum(flash_orders["data"]) == 0


@pytest.mark.redis
def test_first_page_shows_alerts_until_they_are_seen(admin_client, sale_redis):
    alert = alerts.raise_alert("out", "Clay pot is out of stock.")

    assert alert.text in admin_client.get("/admin/").content.decode()
    admin_client.post(
        "/admin/catalog/alert/?seen=no",
        {"action": "mark_seen", "_selected_action": [alert.pk], "index": "0"},
    )
    assert alert.text not in admin_client.get("/admin/").content.decode()


def test_order_counts_have_no_gaps_and_end_now():
    now = timezone.now().replace(minute=30)
    order = make_order()
    Order.objects.filter(pk=order.pk).update(created_at=now - timedelta(hours=3))

    counts = desk.order_counts("day", now=now)

    assert len(counts) == 24
    assert [row.regular for row in counts[-4:]] == [1, 0, 0, 0]


# -- Why this number? -------------------------------------------------------------


@pytest.mark.redis
def test_promises_name_the_orders_and_sales_behind_the_numbers(
    admin_client, sale_redis
):
    pot = make_product(on_hand=20)
    order = make_order(pot, quantity=3)
    sale = make_sale("Harbor Lights", state=SaleState.SCHEDULED)
    make_loaded_item(product=pot, sale=sale, units=5)

    html = admin_client.get(
        reverse("admin:sales_stock_promises", args=[pot.pk])
    ).content.decode()

    assert order.number in html
    assert "3 units," in html
    assert "Harbor Lights" in html
    assert "5 of 5 unclaimed" in html


# -- Orders -----------------------------------------------------------------------


def test_orders_are_found_by_number_and_by_address(admin_client):
    first = make_order(email="ines@example.org")
    second = make_order(email="tomas@example.org")

    def found(text):
        response = admin_client.get("/admin/sales/order/", {"q": text})
        return list(response.context["cl"].result_list)

    assert found(first.number) == [first]
    assert found(str(first.pk)) == [first]
    assert found("tomas") == [second]


def test_orders_list_runs_the_same_queries_however_long(
    admin_client, django_assert_num_queries
):
    pot = make_product(on_hand=50)
    make_order(pot)
    admin_client.get("/admin/sales/order/")
    with django_assert_num_queries(3):
        admin_client.get("/admin/sales/order/")
    for _ in range(20):
        make_order(pot)

    with django_assert_num_queries(3):
        admin_client.get("/admin/sales/order/")


@pytest.mark.parametrize(
    ("query", "count"), [("channel=shop", 1), ("channel=flash", 0), ("state=paid", 0)]
)
def test_orders_are_filtered(admin_client, query, count):
    make_order()

    response = admin_client.get(f"/admin/sales/order/?{query}")

    assert response.context["cl"].result_count == count


def test_order_page_shows_lines_timeline_and_payments(admin_client):
    order = make_order(make_product("Clay pot"), quantity=2)
    checkout.begin_payment(order.pk)

    html = admin_client.get(order_page(order)).content.decode()

    assert "Clay pot" in html
    assert "$19.98" in html
    assert "Paying" in html
    assert "Pending" in html


def test_order_is_cancelled_with_its_units_given_back(admin_client, admin_user):
    order = make_order(quantity=2)

    admin_client.post(order_page(order, "cancel"))

    order.refresh_from_db()
    assert order.state == "cancelled"
    assert order.events.last().actor == admin_user
    product = order.lines.get().product
    assert product.stock.reserved == 0


def test_order_in_payment_is_not_cancelled(admin_client):
    order = make_order()
    orders.begin_payment(order.pk)

    response = admin_client.post(order_page(order, "cancel"))

    assert "can be refunded, not cancelled" in response.content.decode()


@pytest.mark.parametrize(("restock", "on_hand"), [("on", 10), ("", 8)])
def test_refund_sends_the_money_back_with_or_without_the_units(
    admin_client, restock, on_hand
):
    pot = make_product(on_hand=10)
    order = make_order(pot, quantity=2)
    payment = checkout.begin_payment(order.pk)
    checkout.finish(payment.pk, "paid")
    data = {"reason": "came broken"} | ({"restock": "on"} if restock else {})

    response = admin_client.post(order_page(order, "refund"), data)

    assert response.status_code == 302
    order.refresh_from_db()
    payment.refresh_from_db()
    pot.stock.refresh_from_db()
    assert (order.state, payment.state) == ("refunded", "refunded")
    assert pot.stock.on_hand == on_hand
    assert order.events.last().note == "came broken"


def test_order_rows_are_never_edited(admin_client):
    order = make_order()

    for action in ("change", "delete"):
        url = order_page(order, action)
        assert admin_client.post(url, {"post": "yes"}).status_code == 403
    assert admin_client.post("/admin/sales/order/add/").status_code == 403


@pytest.mark.parametrize(
    "path", ["flashsale/x/change/", "order/x/change/", "flashsale/999/pause/"]
)
def test_address_that_names_nothing_is_no_error(admin_client, path):
    response = admin_client.get(f"/admin/sales/{path}", follow=True)

    assert response.status_code in (200, 404)


def test_orders_export(admin_client):
    order = make_order(email="=cmd@example.org")

    response = admin_client.post("/admin/sales/order/export/", {"format": "0"})

    text = response.content.decode()
    assert str(order.pk) in text
    assert ",=cmd" not in text


def test_a_name_with_odd_signs_does_not_keep_the_orders_in(admin_client):
    make_order()
    Order.objects.update(full_name="Sam\x0bShopper")
    names = [
        kind().get_title() for kind in OrderAdmin(Order, site).get_export_formats()
    ]
    assert names == ["csv", "xlsx"]

    response = admin_client.post("/admin/sales/order/export/", {"format": "1"})

    rows = load_workbook(BytesIO(response.content)).active.values
    assert "Shopper" in " ".join(map(str, list(rows)[1]))


# -- Who may what -----------------------------------------------------------------

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
