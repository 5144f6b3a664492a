"""Who is signed in stays signed in while the cache is away."""

import pytest
from django.contrib.auth import SESSION_KEY

pytestmark = pytest.mark.django_db


@pytest.fixture
def without_cache(settings):
    def switch_off():
        away = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
        settings.CACHES = {"default": away}

    return switch_off


def test_a_session_is_read_from_the_database(admin_client, without_cache):
    without_cache()

    assert admin_client.get("/admin/catalog/category/").status_code == 200


def test_a_session_begins_without_the_cache(client, without_cache):
    without_cache()

    session = client.session
    session["seen"] = 1
    session.save()

    assert client.session["seen"] == 1
    assert SESSION_KEY not in client.session


def test_who_cannot_be_signed_out_now_is_told_to_try_again(admin_client, without_cache):
    admin_client.raise_request_exception = False
    without_cache()

    assert admin_client.post("/accounts/logout/").status_code == 503
