"""An old copy of the sale Redis, behind what buyers were told."""

import shutil
from uuid import uuid4

import pytest

from sales import counters, flash, recovery, sync
from sales.models import FlashSaleItem, Order
from tests.factories import make_loaded_item
from tests.faults import invariants

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def claim(item):
    order_id = uuid4()
    flash.claim(item.pk, order_id=order_id, buyer="g:alice", quantity=1)
    return order_id


def test_what_was_told_after_the_copy_is_not_forgotten(own_sale_redis, tmp_path):
    item = make_loaded_item()
    drained = claim(item)
    sync.drain(item.pk)
    in_the_copy = claim(item)
    files = own_sale_redis.directory / "appendonlydir"
    shutil.copytree(files, tmp_path / "old")
    told_later = claim(item)

    own_sale_redis.kill()
    shutil.rmtree(files)
    shutil.copytree(tmp_path / "old", files)
    own_sale_redis.start()
    counters.disconnect()
    (outcome,) = recovery.open_fence()
    sync.drain(item.pk)

    assert outcome.rebuilt
    assert "the journal knows of event" in outcome.found
    states = dict(Order.objects.values_list("claim_id", "state"))
    assert states == dict.fromkeys((drained, in_the_copy, told_later), "held")
    assert FlashSaleItem.objects.get(pk=item.pk).left == 7
    assert invariants.violations() == []
