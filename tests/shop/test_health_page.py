"""The owner's page about servers, queues and what waits for a person."""

import pytest
from django.urls import reverse
from django.utils import timezone
from django_rq import get_connection, get_queue
from rq import Worker

from sales import audit, jobs
from sales.models import OrderMail, PaymentNotice
from shop import health_page
from tests.factories import make_loaded_item, make_order, make_product, make_staff

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]

PAGE = reverse("admin:shop_health")


def found():
    return {sign.name: sign for sign in health_page.signs()}


def test_servers_that_answer_are_well(sale_redis):
    signs = found()

    for name in ("PostgreSQL", "Sale Redis", "Queue Redis", "Sync of flash sales"):
        assert signs[name].is_well, signs[name]
    assert "in use" in signs["Sale Redis"].text


def test_a_server_that_is_away_hides_no_other(sale_redis, settings):
    settings.SALE_REDIS_URL = "unix:///nowhere/redis.sock"

    signs = found()

    assert signs["Sale Redis"].text == "does not answer"
    assert not signs["Sale Redis"].is_well
    assert signs["Queue Redis"].is_well


def test_sale_redis_that_keeps_nothing_is_not_well(sale_redis, settings):
    settings.SALE_REDIS_URL = settings.QUEUE_REDIS_URL  # without a log on disk

    assert not found()["Sale Redis"].is_well


def test_queue_without_worker_and_with_failed_jobs_is_not_well(client, sale_redis):
    queue = get_queue("default")
    job = queue.enqueue(jobs.expire_carts)
    queue.failed_job_registry.add(job, ttl=60)
    try:
        sign = found()["Queue “default”"]
    finally:
        queue.failed_job_registry.remove(job, delete_job=True)
        queue.empty()

    assert not sign.is_well
    assert "1 failed" in sign.text
    assert "no worker" in sign.text
    client.force_login(make_staff("owner"))
    assert client.get(sign.url).status_code == 200


def test_worker_that_was_killed_is_not_counted_for_ever(client, sale_redis):
    worker = Worker([get_queue("default")], connection=get_connection("default"))
    worker.register_birth()
    try:
        assert jobs.workers()["default"] == 1
        worker.connection.delete(worker.key)  # as it ends by itself, without a sign
        assert not found()["Queue “default”"].is_well
        assert client.get("/readyz").json()["workers"]["default"] == 0
    finally:
        worker.register_death()


def test_last_audit_must_be_fresh_and_clean(sale_redis):
    assert not found()["Audit"].is_well

    run = audit.run()
    assert found()["Audit"].is_well
    type(run).objects.update(created_at=timezone.now() - health_page.AUDIT_AGE * 2)

    assert not found()["Audit"].is_well


def test_product_that_is_stopped_is_named_with_its_doubt(client, sale_redis):
    assert found()["Flash-sale products stopped by a doubt"].is_well
    item = make_loaded_item(product=make_product("Clay pot"))
    audit.pause_item(item.pk, "it does not add up")

    sign = found()["Flash-sale products stopped by a doubt"]

    assert not sign.is_well
    assert sign.text == "Clay pot: it does not add up"
    client.force_login(make_staff("owner"))
    page = client.get(sign.url, follow=True)
    assert page.redirect_chain[-1][0].endswith(f"/flashsale/{item.sale_id}/change/")


def test_what_waits_for_a_person_is_counted_with_a_way_there(client, sale_redis):
    OrderMail.objects.create(order=make_order(), kind="paid", next_try_at=None)
    long_ago = timezone.now() - health_page.AUDIT_AGE
    PaymentNotice.objects.create(gateway="test", event_id="1", received_at=long_ago)
    client.force_login(make_staff("owner"))

    signs = found()

    for name in ("E-mails given up", "Payment notices not handled"):
        assert (signs[name].is_well, signs[name].text) == (False, "1")
        assert client.get(signs[name].url).status_code == 200
    assert signs["Webhook deliveries given up"].is_well


def test_page_and_fragment_are_for_who_runs_the_shop(client, sale_redis):
    client.force_login(make_staff("owner"))
    page = client.get(PAGE).content.decode()
    fragment = client.get(PAGE, headers={"HX-Target": "health"}).content.decode()
    assert "PostgreSQL" in page
    assert "PostgreSQL" in fragment
    assert "<html" not in fragment
    assert f'href="{PAGE}"' in client.get(reverse("admin:index")).content.decode()

    client.force_login(make_staff("sale manager"))
    assert client.get(PAGE).status_code == 403
    assert PAGE not in client.get(reverse("admin:index")).content.decode()


def test_menu_of_the_owner_leads_to_queues_failed_jobs_and_schedules(
    client, sale_redis
):
    client.force_login(make_staff("owner"))
    queues = reverse("admin:django_rq_dashboard_changelist")

    assert f'href="{queues}"' in client.get(reverse("admin:index")).content.decode()
    page = client.get(queues).content.decode()
    for name in ("flash", "default", "imports"):
        assert name in page
    for index in range(3):
        url = reverse("admin:django_rq_failed_jobs", args=[index])
        assert client.get(url).status_code == 200
