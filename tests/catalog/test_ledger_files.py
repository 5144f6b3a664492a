"""The ledgers in the dashboard: exported as they are filtered, edited by nobody."""

import csv
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from catalog import stock
from catalog.admin.ledger_files import lines
from catalog.models import StockMovement
from sales import flash, sync
from sales.models import FlashEvent
from tests.factories import make_loaded_item, make_product, make_staff, make_user

pytestmark = pytest.mark.django_db

MOVEMENTS = reverse("admin:catalog_stockmovement_changelist")
FILE = reverse("admin:catalog_stockmovement_export")


def rows_of(response):
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(text.splitlines()))


def test_file_has_the_numbers_of_the_ledger(admin_client, admin_user):
    pot = make_product("Clay pot", sku="POT", on_hand=5)
    note = stock.Note(reason="two broken", cause="test:1", actor=admin_user)
    stock.adjust(pot.pk, on_hand=3, note=note)

    last, first = rows_of(admin_client.get(FILE))

    assert (first["on_hand_before"], first["on_hand_after"]) == ("0", "5")
    assert last["sku"] == "POT"
    assert last["kind"] == "adjustment"
    assert (last["on_hand_delta"], last["on_hand_after"]) == ("-2", "3")
    assert (last["reason"], last["cause"]) == ("two broken", "test:1")
    assert last["actor"] == str(admin_user)
    assert last["created_at"].endswith("+00:00")


def test_file_has_what_the_list_shows(admin_client):
    pot = make_product("Clay pot", sku="POT")
    make_product("Jug", sku="JUG")
    stock.adjust(pot.pk, on_hand=3, note=stock.Note(cause="test"))

    by_kind = admin_client.get(FILE, {"kind__exact": "adjustment"})
    by_word = admin_client.get(FILE, {"q": "jug"})
    page = admin_client.get(MOVEMENTS, {"q": "jug"}).content.decode()

    assert [row["sku"] for row in rows_of(by_kind)] == ["POT"]
    assert {row["sku"] for row in rows_of(by_word)} == {"JUG"}
    assert f'href="{FILE}?q=jug"' in page


def test_address_nobody_understands_leads_back_to_the_list(admin_client):
    response = admin_client.get(FILE, {"nonsense": "1"})

    assert response.status_code == 302


def test_file_costs_the_same_queries_however_long(
    admin_client, django_assert_max_num_queries
):
    for _ in range(30):
        make_product()

    with django_assert_max_num_queries(6):
        assert len(rows_of(admin_client.get(FILE))) == 30


def test_no_text_of_the_file_is_a_formula():
    _header, line = lines(["reason"], [["=1+1"]])

    assert line.startswith("'=1+1")


def test_only_who_may_see_the_ledger_gets_the_file(client):
    client.force_login(make_user(permissions=["catalog.view_product"]))
    assert client.get(FILE).status_code == 403

    client.force_login(make_staff("viewer"))
    assert client.get(FILE).status_code == 200
    assert client.post(FILE).status_code == 405


def test_not_even_a_superuser_adds_changes_or_deletes_a_movement(admin_client):
    make_product()
    row = StockMovement.objects.get()
    name = "admin:catalog_stockmovement"
    change = reverse(f"{name}_change", args=[row.pk])
    delete = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}

    assert admin_client.post(reverse(f"{name}_add"), {}).status_code == 403
    assert admin_client.post(change, {"reason": "x"}).status_code == 403
    url = reverse(f"{name}_delete", args=[row.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 403
    admin_client.post(MOVEMENTS, delete)

    assert StockMovement.objects.get().reason == row.reason
    page = admin_client.get(change).content.decode()
    assert 'name="_save"' not in page
    assert "delete_selected" not in admin_client.get(MOVEMENTS).content.decode()


def test_every_permission_there_is_gives_no_right_to_edit_the_ledger(client):
    make_product()
    row = StockMovement.objects.get()
    user = make_user(permissions=["catalog.view_stockmovement"])
    user.user_permissions.set(Permission.objects.all())
    client.force_login(user)

    url = reverse("admin:catalog_stockmovement_change", args=[row.pk])
    assert client.post(url, {"reason": "x"}).status_code == 403


@pytest.mark.redis
def test_events_of_flash_sales_are_listed_and_exported(admin_client, sale_redis):
    item = make_loaded_item(product=make_product("Clay pot", sku="POT"), units=3)
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer="g:1", quantity=2)
    sync.drain(item.pk)
    query = {"kind": "claim"}

    page = admin_client.get(reverse("admin:sales_flashevent_changelist"), query)
    (row,) = rows_of(admin_client.get(reverse("admin:sales_flashevent_export"), query))

    assert str(order_id) in page.content.decode()
    assert (row["sku"], row["quantity"], row["order_id"]) == ("POT", "2", str(order_id))
    event = FlashEvent.objects.get(order_id=order_id)
    for action in ("change", "delete"):
        url = reverse(f"admin:sales_flashevent_{action}", args=[event.pk])
        assert admin_client.post(url, {"post": "yes"}).status_code == 403
