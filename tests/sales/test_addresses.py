"""The address book: kept once, chosen at checkout, nobody else's."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from sales import addresses, carts
from sales.models import Address, Order
from sales.orders import Contact, NotPossible
from tests.factories import make_product

pytestmark = pytest.mark.django_db
PLACE = {
    "full_name": "Ann Ames",
    "address": "Quay 1",
    "postal_code": "1234",
    "city": "Port",
    "country": "ID",
}
HILL = {**PLACE, "address": "Hill 2", "city": "Peak"}


@pytest.fixture
def ann(client):
    user = User.objects.create_user("ann@shop.test", "ann@shop.test")
    client.force_login(user)
    return user


def kept(user, **place):
    return addresses.keep(user, Contact(email="", **{**PLACE, **place}))


def test_strangers_are_asked_to_sign_in(client):
    assert client.get("/addresses/")["Location"].startswith("/accounts/login/")


def test_an_empty_book_says_what_to_do(client, ann):
    assert "No addresses yet" in client.get("/addresses/").text


def test_an_address_is_written_changed_and_deleted(client, ann):
    client.post("/addresses/new/", PLACE)
    row = Address.objects.get(user=ann)
    client.post(f"/addresses/{row.pk}/", HILL)
    row.refresh_from_db()
    page = client.get("/addresses/").text
    client.post(f"/addresses/{row.pk}/delete/")

    assert row.address == "Hill 2"
    assert "Hill 2" in page
    assert not Address.objects.exists()


def test_a_form_that_lacks_something_comes_back(client, ann):
    response = client.post("/addresses/new/", {**PLACE, "city": ""})

    assert response.status_code == 422
    assert "Type the name of the place." in response.text


def test_the_same_address_is_kept_once(ann):
    first = kept(ann)

    assert kept(ann) == first
    other = kept(ann, **HILL)
    assert addresses.keep(ann, Contact("", **PLACE), address_id=other.pk) == first
    assert Address.objects.count() == 1


def test_a_full_book_says_so(ann):
    for number in range(addresses.MOST):
        kept(ann, address=f"Quay {number}")

    with pytest.raises(NotPossible):
        kept(ann, address="One more")


def test_another_accounts_addresses_do_not_exist(client, ann):
    row = kept(User.objects.create_user("bob@shop.test"))

    assert client.get(f"/addresses/{row.pk}/").status_code == 404
    client.post(f"/addresses/{row.pk}/delete/")
    assert Address.objects.filter(pk=row.pk).exists()
    assert "Quay 1" not in client.get(f"/checkout/?address={row.pk}").text


def test_checkout_fills_in_the_address_that_is_chosen(client, ann):
    carts.add(carts.create(ann), make_product(), 1)
    kept(ann)
    hill = kept(ann, **HILL)

    page = client.get(f"/checkout/?address={hill.pk}")

    assert page.context["form"]["address"].value() == "Hill 2"
    assert page.context["form"]["email"].value() == "ann@shop.test"
    assert page.text.count('href="?address=') == 2


@pytest.mark.parametrize("is_wanted", [True, False])
def test_checkout_keeps_the_address_when_told(client, ann, is_wanted):
    carts.add(carts.create(ann), make_product(), 1)
    form = {**PLACE, "email": "ann@shop.test", "order_id": uuid4()}

    client.post("/checkout/", form | ({"keep": "on"} if is_wanted else {}))

    assert Order.objects.get().city == "Port"
    assert Address.objects.filter(user=ann).exists() == is_wanted


def test_guests_are_offered_no_book(client):
    product = make_product()
    client.post(f"/cart/add/{product.pk}/", {"quantity": 1})

    assert "Keep this address" not in client.get("/checkout/").text
