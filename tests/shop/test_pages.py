"""What no app owns: the error pages, the account pages, pictures."""

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import path
from django.views import defaults

pytestmark = pytest.mark.django_db


def fail(request):
    raise ZeroDivisionError


urlpatterns = [path("fail/", fail)]


@pytest.mark.urls(__name__)
def test_a_failure_of_ours_has_a_page_that_needs_nothing(client):
    client.raise_request_exception = False

    response = client.get("/fail/")

    assert response.status_code == 500
    assert "an order you sent twice is still one order" in response.text


def test_a_forbidden_page_says_where_to_go():
    client = Client()
    request = client.get("/").wsgi_request

    response = defaults.permission_denied(request, PermissionDenied())

    assert response.status_code == 403
    assert "This page is not for you" in response.content.decode()


def test_a_form_that_is_not_tied_to_the_visit_explains_itself():
    client = Client(enforce_csrf_checks=True)

    response = client.post("/cart/add/1/", {"quantity": 1})

    assert response.status_code == 403
    assert "every form is tied to your visit" in response.text


@pytest.mark.parametrize("name", ["login", "signup", "password/reset"])
def test_account_pages_are_in_the_shops_design(client, name):
    page = client.get(f"/accounts/{name}/").text

    assert 'class="skip"' in page
    assert 'class="narrow card account"' in page


def test_policy_allows_nothing_inline(client):
    policy = client.get("/")["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert " style=" not in client.get("/").text


def test_a_picture_opened_on_its_own_runs_nothing(client, tmp_path, settings):
    settings.MEDIA_ROOT = tmp_path
    (tmp_path / "pot.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")

    response = client.get("/media/pot.svg")
    response.close()

    assert response["Content-Type"] == "image/svg+xml"
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "sandbox" in response["Content-Security-Policy"]
    assert client.get("/media/../../etc/passwd").status_code == 400
