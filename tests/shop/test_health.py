"""What a load balancer, an operator and Prometheus are told."""

from uuid import uuid4

import pytest

from sales import flash
from tests.factories import make_loaded_item

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def test_healthz_answers_without_any_server(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/healthz").content == b"ok\n"


def test_readyz_says_what_is_missing_for_the_work_behind_the_shop(client, sale_redis):
    item = make_loaded_item()
    flash.claim(item.pk, order_id=uuid4(), buyer="g:alice", quantity=1)

    answer = client.get("/readyz")

    assert answer.status_code == 200
    body = answer.json()
    assert body["ready"] is True
    assert body["workers"] == dict.fromkeys(("flash", "default", "imports"), 0)
    assert body["degraded"] == [f"no worker for {name}" for name in body["workers"]]
    assert 0 < body["sync_lag_seconds"] < 60


def test_readyz_is_503_and_names_the_server_that_is_away(client, settings):
    settings.SALE_REDIS_URL = "unix:///nowhere/redis.sock"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["sale_redis"] == "unreachable"
    assert answer.json()["postgres"] == "ok"


def test_metrics_show_units_lag_and_queues(client, sale_redis, settings):
    settings.DEMO = True
    item = make_loaded_item(units=7)
    text = client.get("/metrics").content.decode()
    assert f'holdfast_flash_units{{item="{item.pk}",part="left"}} 7.0' in text
    assert f'holdfast_sync_lag_seconds{{item="{item.pk}"}}' in text
    assert 'holdfast_queue_jobs{queue="flash",state="waiting"} 0.0' in text
    assert 'holdfast_products{status="in_stock"} 1.0' in text


def test_metrics_need_the_token_and_are_closed_without_one(client, settings):
    assert client.get("/metrics").status_code == 403
    settings.SHOP_METRICS_TOKEN = "s3cret"
    assert client.get("/metrics").status_code == 403
    right = client.get("/metrics", headers={"authorization": "Bearer s3cret"})
    assert right.status_code == 200


def test_metrics_name_the_server_that_is_away_and_go_on(client, settings):
    settings.DEMO = True
    settings.QUEUE_REDIS_URL = "unix:///nowhere/redis.sock"

    text = client.get("/metrics").content.decode()

    assert 'holdfast_server_up{server="queue_redis"} 0.0' in text
    assert 'holdfast_server_up{server="postgres"} 1.0' in text
    assert "holdfast_products" in text
    assert "holdfast_queue_jobs" not in text
