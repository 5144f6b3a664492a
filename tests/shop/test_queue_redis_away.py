"""Who signs in while the queue Redis is away, and what the dashboard tells them.

It is the cache, too, where tries to sign in are counted.
"""

import time
from uuid import uuid4

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.conf import settings as shop_settings
from django.contrib.auth import SESSION_KEY
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.test import Client
from django.urls import reverse
from redis import RedisError

from sales import flash
from tests import servers
from tests.api import Api
from tests.factories import make_loaded_item, make_product, make_staff

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]

PASSWORD = "a long enough passphrase"
HOME = reverse("admin:index")


@pytest.fixture
def queue_redis_away():
    """Stops the server when it is called; it is there again after the test."""
    yield servers.queue_redis.stop
    servers.queue_redis.start()
    LocMemCache("sign-in", {}).clear()


@pytest.fixture
def merchant():
    user = make_staff("owner")
    user.set_password(PASSWORD)
    user.save()
    return user


def sign_in(client, user, password=PASSWORD):
    data = {"login": user.email, "password": password, "next": HOME}
    return client.post(reverse("account_login"), data)


def is_signed_in(client):
    return SESSION_KEY in client.session


def test_a_merchant_signs_in_and_sees_the_overview(client, merchant, queue_redis_away):
    make_product(on_hand=0)
    queue_redis_away()

    answer = sign_in(client, merchant)
    page = client.get(HOME)

    assert (answer.status_code, answer["Location"]) == (302, HOME)
    assert page.status_code == 200
    assert [status["count"] for status in page.context["statuses"]] == [0, 0, 1]
    assert "The queue Redis does not answer" in page.text


def test_the_overview_shows_the_counters_of_live_sales(
    admin_client, sale_redis, queue_redis_away
):
    item = make_loaded_item(units=5, product=make_product("Basecamp tent"))
    flash.claim(item.pk, order_id=uuid4(), buyer="g:1", quantity=2)
    queue_redis_away()

    page = admin_client.get(reverse("admin:sales_overview"))

    assert page.context["queues"] is None
    assert "Basecamp tent" in page.text
    assert "2 held" in page.text


def test_the_overview_shows_the_queues_when_their_server_is_back(
    admin_client, sale_redis, queue_redis_away
):
    queue_redis_away()
    admin_client.get(HOME)
    servers.queue_redis.start()

    page = admin_client.get(HOME)

    names = [queue.name for queue in page.context["queues"]]
    assert names == list(shop_settings.RQ_QUEUES)
    assert "The queue Redis does not answer" not in page.text


def test_who_tries_too_often_is_refused(client, merchant, queue_redis_away):
    queue_redis_away()

    for _ in range(5):
        sign_in(client, merchant, password="wrong")

    assert "Too many failed login attempts" in sign_in(client, merchant).text
    assert not is_signed_in(client)


def test_a_good_password_is_no_failed_try(merchant, queue_redis_away):
    queue_redis_away()

    clients = [Client() for _ in range(6)]
    for client in clients:
        sign_in(client, merchant)

    assert all(is_signed_in(client) for client in clients)


def test_a_code_of_the_second_step_is_good_once(merchant, queue_redis_away):
    secret = totp.generate_totp_secret()
    app = totp.TOTP.activate(merchant, secret)
    queue_redis_away()
    code = totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30))

    assert app.validate_code(code)
    assert not totp.TOTP(Authenticator.objects.get()).validate_code(code)


def test_a_program_signs_in(merchant, queue_redis_away):
    queue_redis_away()

    body = {"email": merchant.email, "password": PASSWORD}
    answer = Api().post("/tokens", body)

    assert answer.status_code == 200
    assert Api(answer.json()["token"]).get("/orders").status_code == 200


def test_the_session_from_before_the_sign_in_stays_nobodys(merchant, queue_redis_away):
    before, client = Client(), Client()
    session = before.session
    session["seen"] = 1
    session.save()
    key = session.session_key
    for one in (before, client):
        one.cookies[shop_settings.SESSION_COOKIE_NAME] = key
    queue_redis_away()

    sign_in(client, merchant)
    servers.queue_redis.start()

    assert is_signed_in(client)
    assert client.session.session_key != key
    assert not is_signed_in(before)


def test_nothing_else_is_kept_where_other_processes_do_not_see_it(queue_redis_away):
    queue_redis_away()

    for ask in (cache.get, cache.delete, lambda key: cache.set(key, 1)):
        with pytest.raises(RedisError):
            ask("import:42")
