"""What happens to the sale Redis while shoppers buy."""

import shutil
import signal

import pytest

from sales import counters
from sales.models import FlashSaleItem
from tests.faults.load import ask, make_sellable_item, shopping

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def item(own_sale_redis):
    return make_sellable_item()


def epoch_of(item):
    return FlashSaleItem.objects.values_list("epoch", flat=True).get(pk=item.pk)


def test_redis_is_killed_and_starts_from_its_file(item, own_sale_redis, all_is_well):
    with shopping(item) as log:
        log.wait_for(100)
        own_sale_redis.kill()
        own_sale_redis.start()
        log.wait_for(100)

    all_is_well(log)
    assert epoch_of(item) == 1  # everything was there: nothing had to be rebuilt


def test_everything_is_flushed(item, own_sale_redis, all_is_well):
    with shopping(item) as log:
        log.wait_for(100)
        ask("FLUSHALL")
        log.wait_for(100)

    all_is_well(log)
    assert epoch_of(item) == 2


def test_an_old_copy_of_the_file_is_put_back(
    item, own_sale_redis, all_is_well, tmp_path
):
    files = own_sale_redis.directory / "appendonlydir"
    with shopping(item) as log:
        log.wait_for(50)
        own_sale_redis.kill()
        shutil.copytree(files, tmp_path / "old")
        own_sale_redis.start()
        log.wait_for(100)
        own_sale_redis.kill()
        shutil.rmtree(files)
        shutil.copytree(tmp_path / "old", files)
        own_sale_redis.start()
        log.wait_for(100)

    all_is_well(log)
    assert epoch_of(item) == 2


@pytest.mark.parametrize("lost", counters.PARTS)
def test_one_key_is_deleted(item, all_is_well, lost):
    with shopping(item) as log:
        log.wait_for(50)
        ask("DEL", f"flash:{{{item.pk}}}:{lost}")
        log.wait_for(50)

    all_is_well(log)
    assert epoch_of(item) == 2


def test_the_scripts_are_flushed(item, all_is_well):
    with shopping(item) as log:
        for _ in range(3):
            log.wait_for(30)
            ask("SCRIPT FLUSH")
        log.wait_for(30)

    all_is_well(log)
    assert epoch_of(item) == 1


def test_redis_stands_still_for_two_seconds(item, own_sale_redis, all_is_well):
    pid = own_sale_redis._process
    with shopping(item) as log:
        log.wait_for(50)
        pid.send_signal(signal.SIGSTOP)
        signal.sigtimedwait([signal.SIGUSR2], 2)
        pid.send_signal(signal.SIGCONT)
        log.wait_for(50)

    all_is_well(log)
    assert epoch_of(item) == 1
