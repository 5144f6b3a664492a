from datetime import timedelta

import pytest
from django.utils import timezone

from sales import audit, counters, flash, sync
from sales.models import FlashSale, ItemState, SaleState
from tests.factories import make_item, make_loaded_item, make_product, make_sale
from tests.sales.admin.pages import HTMX, sale_page

pytestmark = pytest.mark.django_db


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
    assert sale_page(copy) in admin_client.get(sale_page(item.sale)).content.decode()
    assert copy.closes_at - copy.opens_at == item.sale.closes_at - item.sale.opens_at
    assert copy.items.get().requested_units == 4


@pytest.mark.parametrize("original", [True, False])
def test_clone_asks_for_the_waiting_room_and_offers_that_of_the_original(
    admin_client, original
):
    sale = make_sale(has_waiting_room=original)
    opens_at = timezone.now() + timedelta(days=9)
    typed = {"name": "Again", "opens_at": f"{opens_at:%Y-%m-%dT%H:%M}"}

    form = admin_client.get(sale_page(sale, "clone")).context["form"]
    admin_client.post(sale_page(sale, "clone"), typed)
    admin_client.post(sale_page(sale, "clone"), typed | {"has_waiting_room": "on"})

    assert form["has_waiting_room"].value() is original
    copies = FlashSale.objects.filter(name="Again").order_by("pk")
    assert [copy.has_waiting_room for copy in copies] == [False, True]


def test_clone_at_the_time_of_the_original_is_refused(admin_client):
    item = make_item(sale=make_sale(opens_in=3600, closes_in=99999))
    opens_at = timezone.now() + timedelta(hours=2)

    response = admin_client.post(
        sale_page(item.sale, "clone"),
        {"name": "Again", "opens_at": f"{opens_at:%Y-%m-%dT%H:%M}"},
    )

    assert "in another sale at that time" in response.content.decode()
    assert FlashSale.objects.count() == 1
