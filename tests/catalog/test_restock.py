"""Mails about products that are back: asked once, sent once, stopped by a link."""

import re

import pytest
from django.core import mail
from django.core.cache import cache
from django.utils import timezone

from catalog import mailing, restock, stock
from catalog.models import RestockRequest
from sales import jobs
from tests.factories import make_product

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
NOTE = stock.Note(cause="test")


@pytest.fixture(autouse=True)
def _nobody_asked_before():
    cache.clear()


def ask(client, product, email="ann@shop.test", **kwargs):
    return client.post(f"/products/{product.slug}/tell-me/", {"email": email}, **kwargs)


def sent():
    mail.outbox.clear()
    jobs.send_mails()
    return [message.to[0] for message in mail.outbox]


def test_only_a_product_that_is_out_offers_it(client):
    out, there = make_product(on_hand=0), make_product(on_hand=1)

    assert "Tell me when it is back" in client.get(out.get_absolute_url()).text
    assert "Tell me when it is back" not in client.get(there.get_absolute_url()).text


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_an_address_is_noted_and_told_so(client, headers):
    product = make_product(on_hand=0)

    response = ask(client, product, headers=headers)

    page = response if headers else client.get(response["Location"])
    assert "We write to you once" in page.text
    assert RestockRequest.objects.get().email == "ann@shop.test"


def test_asking_twice_is_asking_once_and_answered_alike(client):
    product = make_product(on_hand=0)

    first = ask(client, product, headers=HTMX)
    again = ask(client, product, email="ANN@shop.test", headers=HTMX)

    assert first.text == again.text
    assert restock.waiting(product.pk) == 1


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_what_is_no_address_comes_back_with_a_sentence(client, headers):
    product = make_product(on_hand=0)

    response = ask(client, product, email="ann", headers=headers)

    assert response.status_code == 422
    assert "no e-mail address yet" in response.text
    assert 'value="ann"' in response.text


def test_an_address_waits_for_so_many_products_and_is_not_told(client):
    for _ in range(restock.MOST_PER_ADDRESS):
        restock.ask(make_product(on_hand=0), "ann@shop.test")

    response = ask(client, make_product(on_hand=0), headers=HTMX)

    assert "We write to you once" in response.text
    assert RestockRequest.objects.count() == restock.MOST_PER_ADDRESS


def test_one_computer_asks_only_so_often(client, monkeypatch):
    monkeypatch.setattr(restock, "MOST_PER_HOUR", 1)
    product = make_product(on_hand=0)

    first, second = (ask(client, product, f"{n}@shop.test") for n in range(2))

    assert (first.status_code, second.status_code) == (302, 429)
    assert RestockRequest.objects.count() == 1


def test_one_mail_when_it_can_be_bought_again(settings):
    settings.SITE_URL = "https://shop.test"
    product = make_product("Kite", on_hand=1, safety_threshold=1)
    restock.ask(product, "ann@shop.test")

    before = sent()
    stock.receive(product.pk, 1, note=NOTE)
    back, again = sent(), sent()

    assert (before, back, again) == ([], ["ann@shop.test"], [])
    assert not RestockRequest.objects.exists()


def test_a_product_that_is_hidden_is_not_told_of():
    product = make_product(on_hand=5, is_published=False)
    restock.ask(product, "ann@shop.test")

    assert sent() == []


def test_the_mails_link_stops_all_of_them_but_only_when_told(client, settings):
    settings.SITE_URL = "http://testserver"
    product, other = make_product(on_hand=5), make_product(on_hand=0)
    for each in (product, other):
        restock.ask(each, "ann@shop.test")
    restock.ask(other, "bob@shop.test")
    sent()
    (message,) = mail.outbox
    link = message.extra_headers["List-Unsubscribe"].strip("<>")

    assert link in message.body
    assert client.get(link).status_code == 200
    assert RestockRequest.objects.filter(email="ann@shop.test").exists()
    assert "Done." in client.post(link).text
    assert [row.email for row in RestockRequest.objects.all()] == ["bob@shop.test"]


def test_a_forged_link_stops_nothing(client):
    restock.ask(make_product(on_hand=0), "ann@shop.test")
    forged = re.sub("^.", "A", restock.token("bob@shop.test"))

    assert client.post(f"/tell-me/stop/{forged}/").status_code == 404
    assert RestockRequest.objects.exists()


def test_one_bad_address_stops_no_other(monkeypatch):
    product = make_product(on_hand=5)
    for address in ("bad@shop.test", "good@shop.test"):
        restock.ask(product, address)
    monkeypatch.setattr(mailing, "get_connection", lambda: Broken())

    assert restock.send_due(timezone.now()) == 1
    assert RestockRequest.objects.get().attempts == 1


class Broken:
    """A mail server that takes nothing for one address."""

    def send_messages(self, messages):
        if messages[0].to == ["bad@shop.test"]:
            raise OSError("no such mailbox")
        return len(messages)

    def close(self):
        """A new conversation begins by itself."""
