"""A rule's webhook: told of each alert the rule is about, in its transaction."""

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone

from catalog import alerts, stock
from catalog.models import (
    Alert,
    AlertRule,
    OutboxEvent,
    WebhookDelivery,
    WebhookEndpoint,
)
from tests.factories import make_product

pytestmark = pytest.mark.django_db
URL = "/admin/catalog/alertrule/"


def make_endpoint(url="https://other.example/hook", **fields):
    fields.setdefault("kinds", ["order.paid"])  # its own choice is about other events
    return WebhookEndpoint.objects.create(url=url, **fields)


def make_rule(kind="drift", **fields):
    return AlertRule.objects.create(kind=kind, **fields)


def told():
    rows = WebhookDelivery.objects.order_by("event__created_at", "endpoint")
    return [
        (delivery.endpoint, delivery.event.kind, delivery.event.data["text"])
        for delivery in rows.select_related("event", "endpoint")
    ]


def test_only_the_endpoints_of_fitting_rules_are_told_each_once():
    first, second = make_endpoint(), make_endpoint()
    make_endpoint(kinds=[])
    make_rule(endpoint=first)
    make_rule(endpoint=first, emails="a@shop.test")
    make_rule("sync_lag", endpoint=second)

    alerts.raise_alert("drift", "Reserved is 3, orders say 2.")
    alerts.raise_alert("sync_lag", "61 s behind.")

    assert told() == [
        (first, "alert", "Reserved is 3, orders say 2."),
        (second, "alert", "61 s behind."),
    ]


def test_what_an_endpoint_is_told():
    make_rule("out", endpoint=make_endpoint())
    product = make_product("Clay pot", sku="POT", on_hand=1)
    stock.reserve({product.pk: 1}, note=stock.Note(cause="test"))

    alerts.read_status_changes()
    alerts.read_status_changes()

    assert OutboxEvent.objects.get(kind="alert").data == {
        "alert_id": Alert.objects.get().pk,
        "kind": "out",
        "text": "Clay pot (POT) is out of stock.",
        "sku": "POT",
    }


def test_no_event_without_its_alert():
    make_rule(endpoint=make_endpoint())

    with transaction.atomic():
        alerts.raise_alert("drift", "It was a mistake.")
        assert told()
        transaction.set_rollback(True)

    assert not told()
    assert not Alert.objects.exists()


def test_a_rule_without_addresses_mails_nobody_and_is_quiet_all_the_same():
    make_rule("out", endpoint=make_endpoint(), quiet_minutes=30)
    product = make_product()

    alerts.raise_alert("out", "Gone.", product=product)
    alerts.raise_alert("out", "Gone again.", product=product)

    assert [text for _endpoint, _kind, text in told()] == ["Gone."]
    assert alerts.send_mails(timezone.now()) == 0
    assert not mail.outbox


def test_an_endpoint_that_is_off_is_not_told():
    make_rule(endpoint=make_endpoint(is_active=False))

    alerts.raise_alert("drift", "Reserved is 3, orders say 2.")

    assert not told()


def test_the_endpoint_of_a_rule_cannot_be_deleted():
    endpoint = make_endpoint()
    make_rule(endpoint=endpoint)

    with pytest.raises(ProtectedError):
        endpoint.delete()


def test_a_rule_tells_addresses_or_a_webhook_or_both(admin_client):
    endpoint = make_endpoint()
    data = {"kind": "out", "quiet_minutes": 30, "out_hours": 24, "is_active": "on"}

    refused = admin_client.post(f"{URL}add/", data)
    admin_client.post(f"{URL}add/", {**data, "endpoint": endpoint.pk})
    admin_client.post(
        f"{URL}add/", {**data, "endpoint": endpoint.pk, "emails": "a@shop.test"}
    )

    assert "or choose a webhook below" in refused.content.decode()
    found = AlertRule.objects.order_by("pk").values_list("emails", "endpoint")
    assert list(found) == [("", endpoint.pk), ("a@shop.test", endpoint.pk)]
    listed = admin_client.get(URL).content.decode()
    assert "a@shop.test, a webhook" in listed


def test_an_address_that_may_hold_a_secret_is_shown_to_owners_alone(
    client, django_user_model
):
    rule = make_rule(endpoint=make_endpoint("https://other.example/hook?key=s3cret"))
    pages = {}
    for role in ("viewer", "owner"):
        user = django_user_model.objects.create_user(role, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        client.force_login(user)
        pages[role] = client.get(f"{URL}{rule.pk}/change/").content.decode()

    assert "s3cret" in pages["owner"]
    assert "s3cret" not in pages["viewer"]
    assert "Quiet minutes" in pages["viewer"]
