"""The race shows who oversells, and leaves nothing behind."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from catalog.models import Stock
from sales import counters, race
from tests.factories import make_product
from tests.threads import run_at_once

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def tables():
    return [t for t in connection.introspection.table_names() if t.startswith("race_")]


def oversells_at_last(way):
    """On a busy machine the processes may have met too seldom in one run."""
    runs = (race.run(buyers=50, units=5, seconds=1.5, ways=[way]) for _ in range(20))
    return any(outcome.oversold for (outcome,) in runs)


def test_only_locks_that_all_processes_share_keep_from_overselling(sale_redis):
    product = make_product(on_hand=7)
    outcomes = {o.way: o for o in race.run(buyers=50, units=5, seconds=1.5)}

    assert set(outcomes) == set(race.WAYS)
    for outcome in outcomes.values():
        assert outcome.offered == 5 * outcome.races
        assert outcome.orders_per_second > 10
        assert outcome.p99_ms > 0
        if outcome.is_safe:
            assert (outcome.sold, outcome.oversold) == (outcome.offered, 0)
            assert outcome.worst_race == 5
        else:
            assert outcome.oversold > 0 or oversells_at_last(outcome.way)
            assert (outcome.worst_race > 5) is (outcome.oversold > 0)
    assert Stock.objects.get(pk=product.pk).on_hand == 7
    assert not tables()
    assert not sale_redis.keys("*")


def test_the_command_prints_a_row_for_each_way(sale_redis):
    out = StringIO()
    call_command("race", buyers=8, units=2, seconds=0.2, stdout=out)

    lines = out.getvalue().splitlines()
    assert lines[0].startswith("8 buyers race for 2 units")
    for way in race.WAYS:
        assert any(line.startswith(way) for line in lines)


def test_json_is_plain_values_and_the_fence_stays_closed(sale_redis):
    sale_redis.script_flush()
    out = StringIO()
    call_command("race", buyers=4, units=1, seconds=0.1, json=True, stdout=out)

    assert [row["way"] for row in json.loads(out.getvalue())] == list(race.WAYS)
    assert not counters.has_scripts(1)


def test_what_an_interrupted_race_left_is_removed(sale_redis):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE race_stock (id text)")
    sale_redis.set(counters.keys(race.SCRATCH)[0], "left over")

    outcomes = race.run(buyers=4, units=1, seconds=0.1)
    assert next(outcomes).races
    outcomes.close()

    assert not tables()
    assert not sale_redis.keys("*")


def test_two_races_at_once_are_refused(sale_redis):
    outcomes = race.run(buyers=4, units=1, seconds=0.1)
    next(outcomes)

    def try_another(_):
        with pytest.raises(race.RaceFailed, match="wait for its end"):
            next(race.run(buyers=4, units=1, seconds=0.1))

    run_at_once(try_another, range(1))
    outcomes.close()
    assert not tables()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"buyers": 1}, "--buyers must be from 2"),
        ({"units": 0}, "--units must be at least 1"),
        ({"buyers": 5, "units": 5}, "there is no race"),
        ({"seconds": 0}, "--seconds must be from"),
    ],
)
def test_numbers_that_make_no_race_are_refused_with_a_sentence(options, sentence):
    with pytest.raises(CommandError, match=sentence):
        call_command("race", **options)
    assert not tables()
