"""The engine on a Redis Cluster of three nodes: the same tests, and one node's faults.

Everything imported here is collected a second time, with the `sale_redis` of this
module.
"""

from uuid import uuid4

import pytest

from sales import checkout, counters, flash, recovery, sync
from sales.models import FlashSaleItem
from tests.factories import make_loaded_item
from tests.faults import cluster, invariants
from tests.faults.load import settle_down
from tests.sales.counters.test_claiming import TestBatch, TestClaim  # noqa: F401
from tests.sales.counters.test_loading import TestPreload, TestRestore  # noqa: F401
from tests.sales.counters.test_reading import TestNumbers, TestReading  # noqa: F401
from tests.sales.counters.test_steps import (  # noqa: F401
    TestAdjust,
    TestPayment,
    TestReclaim,
    TestRefund,
    TestRelease,
)

pytestmark = [
    pytest.mark.redis,
    pytest.mark.long,
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with cluster.three_nodes(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
def sale_redis(nodes, settings):
    settings.SALE_REDIS_CLUSTER = True
    settings.SALE_REDIS_URL = f"redis://127.0.0.1:{nodes[0].port}"
    counters.disconnect()
    client = counters.client()
    client.flushall()
    client.script_flush()
    for text in counters.SCRIPTS.values():
        client.script_load(text)
    flash.forget_epochs()
    yield client
    counters.disconnect()


def claim(item, quantity=1, *, buyer="g:alice"):
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer=buyer, quantity=quantity)
    return order_id


def make_items_on_all_nodes():
    items, nodes = [], set()
    while len(nodes) < 3:
        items.append(make_loaded_item())
        nodes.add(counters.node_of(items[-1].pk))
        assert len(items) < 20
    return items


def test_items_live_on_different_nodes_and_all_keys_of_one_together(sale_redis):
    items = make_items_on_all_nodes()
    assert counters.snapshots([item.pk for item in items]).keys() == {
        item.pk for item in items
    }
    for item in items:
        slots = {sale_redis.keyslot(key) for key in counters.keys(item.pk)}
        assert len(slots) == 1


def test_a_sale_from_claim_to_settlement(sale_redis):
    items = make_items_on_all_nodes()
    for item in items:
        paid, gone, late = claim(item, 2), claim(item), claim(item, 3)
        checkout.finish(checkout.begin_payment(paid).pk, "paid")
        checkout.cancel(gone)
        counters.release_many(item.pk, epoch=1, order_ids=[late], reason="cancelled")
    settle_down()
    assert invariants.violations() == []
    for item in items:
        flash.end(item.sale_id)
        assert flash.settle(item.sale_id)
        item.refresh_from_db()
        assert (item.paid, item.left) == (2, 8)
        assert not any(sale_redis.exists(key) for key in counters.keys(item.pk))
    assert invariants.violations() == []


def test_one_node_that_restarts_closes_its_items_alone(sale_redis, nodes):
    items = make_items_on_all_nodes()
    server = nodes[1]  # the first is the one that new connections ask for the others
    mine = [
        item for item in items if counters.node_of(item.pk).endswith(f":{server.port}")
    ]
    others = [item for item in items if item not in mine]
    server.kill()
    for item in others:
        assert claim(item)
    with pytest.raises((counters.NotLoaded, counters.Unsure)):
        claim(mine[0])
    assert set(sync.behind()) == {item.pk for item in others}
    server.start()
    cluster.wait_until(lambda: cluster.knows_all(server, 3))
    counters.disconnect()
    with pytest.raises(counters.NotLoaded):
        claim(mine[0])

    recovered = recovery.heal()

    assert {line.item_id for line in recovered} == {item.pk for item in mine}
    for item in items:
        assert claim(item)
        sync.drain(item.pk)
    assert set(FlashSaleItem.objects.values_list("epoch", flat=True)) == {1}
    assert invariants.violations() == []


def test_one_node_that_lost_everything_is_rebuilt_alone(sale_redis, nodes):
    items = make_items_on_all_nodes()
    orders = {item.pk: claim(item) for item in items}
    node = counters.node_of(items[0].pk)
    (server,) = [each for each in nodes if node.endswith(f":{each.port}")]
    with server.client() as client:
        client.flushall()
        client.script_flush()

    recovery.heal()

    for item in items:
        is_lost = counters.node_of(item.pk) == node
        assert FlashSaleItem.objects.get(pk=item.pk).epoch == (2 if is_lost else 1)
        assert counters.find(item.pk, orders[item.pk]).state == "held"
        sync.drain(item.pk)
    assert invariants.violations() == []
