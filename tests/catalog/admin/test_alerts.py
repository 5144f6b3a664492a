import pytest

from catalog import alerts
from catalog.models import AlertRule

pytestmark = pytest.mark.django_db


def test_alerts_are_marked_as_seen_by_somebody(admin_client, admin_user):
    alert = alerts.raise_alert("out", "Clay pot is out of stock.")

    admin_client.post(
        "/admin/catalog/alert/",
        {"action": "mark_seen", "_selected_action": [alert.pk], "index": "0"},
    )

    alert.refresh_from_db()
    assert alert.seen_by == admin_user
    listed = admin_client.get("/admin/catalog/alert/?seen=no").context["cl"]
    assert list(listed.result_list) == []


def test_alert_rule_takes_several_addresses_and_no_nonsense(admin_client):
    data = {
        "kind": "out",
        "emails": "a@shop.test,b@shop.test",
        "quiet_minutes": 30,
        "out_hours": 24,
        "is_active": "on",
    }
    url = "/admin/catalog/alertrule/add/"

    refused = admin_client.post(url, {**data, "emails": "a@shop.test, nobody"})
    admin_client.post(url, data)

    assert "“nobody” is not an e-mail address" in refused.content.decode()
    assert AlertRule.objects.get().emails == "a@shop.test, b@shop.test"
