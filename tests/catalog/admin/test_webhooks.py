import pytest
from django.urls import reverse

from catalog.models import OutboxEvent, WebhookDelivery, WebhookEndpoint
from tests.factories import make_staff

pytestmark = pytest.mark.django_db
ADD = "/admin/catalog/webhookendpoint/add/"


def test_webhook_endpoint_is_made_with_a_secret_only_its_editors_see(
    admin_client, viewer
):
    owner = make_staff("owner")
    viewer.force_login(owner)
    data = {"url": "https://example.org/hook", "kinds": ["order.paid"]}

    viewer.post(ADD, {**data, "is_active": "on"})

    endpoint = WebhookEndpoint.objects.get()
    page = reverse("admin:catalog_webhookendpoint_change", args=[endpoint.pk])
    assert endpoint.kinds == ["order.paid"]
    assert endpoint.secret in viewer.get(page).content.decode()
    viewer.force_login(make_staff("viewer"))
    assert viewer.get(page).status_code == 403


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379/",
        "http://169.254.169.254/latest/",
        "https://[::ffff:10.0.0.1]/",
        "http://localhost:9000/",
        "http://queue.localhost/",
    ],
)
def test_an_address_of_the_inside_is_refused_at_once(admin_client, settings, url):
    settings.SHOP_WEBHOOK_INTERNAL = False

    response = admin_client.post(ADD, {"url": url, "is_active": "on"})

    assert response.status_code == 422
    assert "leads into a private network" in response.text
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize(
    ("url", "internal"),
    [
        ("https://example.org/hook", False),
        (f"https://{'ü' * 60}.example/", False),
        ("http://localhost:9000/", True),
    ],
    ids=["public", "no name at all", "inside, by the setting"],
)
def test_other_addresses_are_taken(admin_client, settings, url, internal):
    settings.SHOP_WEBHOOK_INTERNAL = internal

    response = admin_client.post(ADD, {"url": url, "is_active": "on"})

    assert response.status_code == 302
    assert WebhookEndpoint.objects.get().url == url


def test_an_old_address_of_the_inside_can_be_switched_off(admin_client, settings):
    settings.SHOP_WEBHOOK_INTERNAL = False
    endpoint = WebhookEndpoint.objects.create(url="http://localhost:9000/")
    page = reverse("admin:catalog_webhookendpoint_change", args=[endpoint.pk])

    response = admin_client.post(page, {"url": endpoint.url})

    assert response.status_code == 302
    assert not WebhookEndpoint.objects.get().is_active


def test_webhook_test_that_fails_says_what_came_back(admin_client):
    endpoint = WebhookEndpoint.objects.create(url="http://127.0.0.1:9/hook")
    url = reverse("admin:catalog_webhookendpoint_send_test", args=[endpoint.pk])

    response = admin_client.post(url)

    assert response.status_code == 422
    assert "It did not work" in response.content.decode()


def test_failed_delivery_is_sent_again(admin_client):
    endpoint = WebhookEndpoint.objects.create(url="http://127.0.0.1:9/hook")
    event = OutboxEvent.objects.create(kind="order.paid", data={})
    delivery = WebhookDelivery.objects.create(
        event=event, endpoint=endpoint, state="failed"
    )
    url = reverse("admin:catalog_webhookdelivery_send_again", args=[delivery.pk])

    assert admin_client.get("/admin/catalog/webhookdelivery/").status_code == 200
    admin_client.post(url)

    delivery.refresh_from_db()
    assert delivery.state == "pending"
