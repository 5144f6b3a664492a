"""Staff sign in by two steps; without the second one the dashboard stays closed."""

import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.urls import reverse

from sales import tokens
from tests.factories import make_staff, make_user

pytestmark = pytest.mark.django_db

PASSWORD = "a long enough passphrase"
SETUP = reverse("mfa_activate_totp")
DESK = reverse("admin:catalog_stock_changelist")
TOKENS = "/api/v1/tokens"


@pytest.fixture(autouse=True)
def two_factor(settings):
    settings.SHOP_STAFF_TWO_FACTOR = True
    settings.ACCOUNT_RATE_LIMITS = False


def code_of(secret):
    """What the app of somebody with this secret shows now."""
    return totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30))


def with_password(user):
    user.set_password(PASSWORD)
    user.save()
    return user


def with_app(user):
    """Set up the second factor; returns its secret."""
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(user, secret)
    RecoveryCodes.activate(user)
    return secret


def sign_in_twice(client, user):
    """Sign in by password, then by the second step that this sets up."""
    secret = with_app(with_password(user))
    sign_in(client, user)
    client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})


def sign_in(client, user, **data):
    data = {"login": user.email, "password": PASSWORD, **data}
    return client.post(f"{reverse('account_login')}?next={DESK}", data)


def test_staff_without_the_second_step_are_led_to_set_it_up(client):
    client.force_login(make_staff("owner"))

    for page in (reverse("admin:index"), DESK, reverse("admin:sales_chart")):
        response = client.get(page)
        assert (response.status_code, response.headers["Location"]) == (302, SETUP)
    assert client.post(DESK, {}).status_code == 302

    fragment = client.get(DESK, headers={"HX-Request": "true"})
    assert fragment.headers["HX-Redirect"] == SETUP


@pytest.mark.django_db(transaction=True)
def test_setting_it_up_opens_the_dashboard(client):
    user = with_password(make_staff("owner"))
    response = sign_in(client, user)
    assert response.headers["Location"] == DESK

    asked = client.get(DESK, follow=True)  # for the password, before anything changes
    assert "signing in takes two steps" in asked.content.decode()
    url = asked.redirect_chain[-1][0]
    page = client.post(url, {"password": PASSWORD}, follow=True)
    secret = page.context["form"].secret
    codes = client.post(SETUP, {"code": code_of(secret)}, follow=True)

    assert "Recovery" in codes.content.decode()
    assert f'href="{reverse("admin:index")}"' in codes.content.decode()
    assert client.get(DESK).status_code == 200


def test_a_password_alone_does_not_sign_in_who_has_an_app(client):
    user = with_password(make_staff("owner"))
    secret = with_app(user)

    response = sign_in(client, user)
    assert response.headers["Location"].startswith(reverse("mfa_authenticate"))
    assert client.get(DESK).status_code == 302
    client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})

    assert client.get(DESK).status_code == 200


def test_a_session_from_before_the_second_step_is_asked_for_it(client):
    user = with_password(make_staff("owner"))
    sign_in(client, user)
    secret = with_app(user)

    asked = reverse("mfa_reauthenticate")
    assert client.get(DESK).headers["Location"].startswith(f"{asked}?next=")
    fragment = client.get(DESK, headers={"HX-Request": "true"})
    assert fragment.headers["HX-Redirect"].startswith(asked)
    response = client.post(f"{asked}?next={DESK}", {"code": code_of(secret)})

    assert response.headers["Location"] == DESK
    assert client.get(DESK).status_code == 200


def test_a_password_alone_does_not_take_the_second_step_away(client):
    user = with_password(make_staff("owner"))
    sign_in(client, user)
    with_app(user)
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})

    client.post(reverse("mfa_deactivate_totp"))

    assert Authenticator.objects.filter(user=user, type="totp").exists()


def test_a_recovery_code_signs_in_once(client):
    user = with_password(make_staff("owner"))
    with_app(user)
    row = Authenticator.objects.get(user=user, type="recovery_codes")
    code = RecoveryCodes(row).get_unused_codes()[0]

    for status in (200, 302):
        sign_in(client, user)
        client.post(reverse("mfa_authenticate"), {"code": code})
        assert client.get(DESK).status_code == status
        client.post(reverse("account_logout"))


def test_sign_in_of_the_admin_is_the_shops_own(client):
    response = client.get(reverse("admin:login"))

    assert response.headers["Location"].startswith(reverse("account_login"))


def test_staff_can_always_sign_out(client):
    client.force_login(make_staff("owner"))

    assert client.post(reverse("admin:logout")).status_code in (200, 302)
    assert "_auth_user_id" not in client.session


def test_shoppers_are_not_asked(client):
    client.force_login(make_user())

    assert client.get("/").status_code == 200
    assert client.get(reverse("sales:orders")).status_code == 200


def test_switched_off_a_password_is_enough(client, settings):
    settings.SHOP_STAFF_TWO_FACTOR = False
    client.force_login(make_staff("owner"))

    assert client.get(DESK).status_code == 200


def test_a_token_for_staff_needs_the_code_too(client):
    user = with_password(make_staff("owner"))
    asked = {"email": user.email, "password": PASSWORD}

    def answer(**data):
        return client.post(TOKENS, {**asked, **data}, "application/json").status_code

    assert answer() == 401
    secret = with_app(user)
    assert answer() == 401
    assert answer(code=code_of(secret)) == 200


def test_a_token_of_a_shopper_does_not_become_one_of_staff(client):
    shopper = make_user()
    token = tokens.issue(shopper, name="as a shopper").row
    sign_in_twice(client, make_staff("owner"))
    url = reverse("admin:auth_user_change", args=[shopper.pk])

    client.post(url, {"email": shopper.email, "is_active": "on"})
    token.refresh_from_db()
    assert token.revoked_at is None
    client.post(url, {"email": shopper.email, "is_active": "on", "is_staff": "on"})

    token.refresh_from_db()
    shopper.refresh_from_db()
    assert shopper.is_staff
    assert token.revoked_at is not None


def test_owner_takes_away_the_lost_second_step_of_a_colleague(client):
    owner, colleague = make_staff("owner"), make_staff("viewer")
    with_app(colleague)
    sign_in_twice(client, owner)
    url = reverse("admin:auth_user_drop_second_step", args=[colleague.pk])

    page = reverse("admin:auth_user_change", args=[colleague.pk])
    assert "Take away the second step" in client.get(page).content.decode()
    assert "Make sure it is them" in client.get(url).content.decode()
    assert Authenticator.objects.filter(user=colleague).exists()
    client.post(url)

    assert not Authenticator.objects.filter(user=colleague).exists()
    assert "Take away the second step" not in client.get(page).content.decode()


def test_nobody_takes_the_second_step_of_a_superuser(client, django_user_model):
    root = django_user_model.objects.create_superuser(
        "root@shop.test", "root@shop.test"
    )
    owner = make_staff("owner")
    with_app(root)
    sign_in_twice(client, owner)

    url = reverse("admin:auth_user_drop_second_step", args=[root.pk])
    assert client.post(url).status_code == 403
    assert Authenticator.objects.filter(user=root).exists()
