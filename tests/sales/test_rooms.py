"""The waiting room's script: places by lot and by arrival, the allowance, passes."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings

from sales import rooms

SALE = 7
COLLECTED = datetime.now(UTC)  # the whole run comes after this, however long it takes
OPENED = COLLECTED - timedelta(minutes=1)
OPENS_LATER = COLLECTED + timedelta(days=1)
CLOSES = COLLECTED + timedelta(days=2)
WAITING, CALLED, INSIDE, META, SERVED = rooms.keys(SALE)


@pytest.fixture(autouse=True)
def server(queue_redis):
    return queue_redis


def look(visitor, *, allowance=0, opens_at=OPENED, joins=False):
    return rooms.visit(
        SALE,
        visitor,
        allowance=allowance,
        opens_at=opens_at,
        closes_at=CLOSES,
        joins=joins,
    )


def join(visitor, **options):
    return look(visitor, joins=True, **options)


def join_early(visitor, **options):
    return join(visitor, opens_at=OPENS_LATER, **options)


def order_of(server):
    return server.zrange(WAITING, 0, -1)


def milliseconds():
    return int(time.time() * 1000)


# -- Places ------------------------------------------------------------------------


def test_who_has_not_joined_has_no_place(server):
    assert look("g:ann", allowance=5).state == "outside"
    assert server.dbsize() == 0


def test_early_visitors_get_their_places_by_lot(server):
    names = [f"g:{number}" for number in range(40)]

    orders = []
    for _ in range(2):
        server.flushall()
        for name in names:
            join_early(name)
        orders.append(order_of(server))

    assert sorted(orders[0]) == sorted(orders[1]) == sorted(names)
    assert orders[0] != orders[1]
    assert names not in orders


def test_the_lot_favours_nobody(server):
    first = Counter()
    for _ in range(200):
        server.delete(*rooms.keys(SALE))
        for name in ("g:ann", "g:ben"):
            join_early(name)
        first[order_of(server)[0]] += 1

    assert min(first.values()) > 60


def test_late_visitors_come_behind_the_early_ones_as_they_arrive(server):
    early = [f"g:early-{number}" for number in range(10)]
    late = [f"g:late-{number}" for number in range(10)]
    for name in early:
        join_early(name)

    for name in late:
        join(name)

    assert set(order_of(server)[:10]) == set(early)
    assert order_of(server)[10:] == late
    assert [join(name).place for name in late] == list(range(11, 21))


def test_before_the_start_nobody_is_inside_or_told_a_place():
    visit = join_early("g:ann", allowance=5)

    assert (visit.state, visit.place) == ("early", None)
    assert not rooms.is_inside(SALE, "g:ann")


@pytest.mark.parametrize("come", [join, join_early])
def test_joining_twice_keeps_the_first_place(server, come):
    for name in ("g:ann", "g:ben", "g:cem"):
        come(name)
    places = server.zrange(WAITING, 0, -1, withscores=True)

    for name in ("g:cem", "g:ann", "g:ben"):
        come(name)

    assert server.zrange(WAITING, 0, -1, withscores=True) == places


# -- Going in ----------------------------------------------------------------------


def test_as_many_go_in_as_are_allowed_and_the_next_is_told_who_is_ahead():
    visits = [join(f"g:{number}", allowance=2) for number in range(4)]

    assert [visit.state for visit in visits] == ["inside", "inside", *["waiting"] * 2]
    assert [visit.ahead for visit in visits[2:]] == [0, 1]
    assert visits[3].place == 2


def test_the_visit_of_anybody_calls_the_head(server):
    for name in ("g:ann", "g:ben"):
        join(name)

    assert look("g:ben", allowance=1).place == 1

    assert server.zrange(CALLED, 0, -1) == ["g:ann"]
    assert look("g:ann", allowance=1).state == "inside"
    assert server.zcard(CALLED) == 0


def test_a_claim_of_somebody_called_begins_their_pass(server):
    for name in ("g:ann", "g:ben"):
        join(name)
    look("g:ben", allowance=1)

    assert rooms.is_inside(SALE, "g:ann")
    assert not rooms.is_inside(SALE, "g:ben")
    assert server.zrange(INSIDE, 0, -1) == ["g:ann"]


def test_who_was_called_and_went_away_makes_room(server):
    for name in ("g:ann", "g:ben", "g:cem"):
        join(name)
    look("g:cem", allowance=1)
    server.zadd(CALLED, {"g:ann": milliseconds() - 1})

    assert look("g:cem", allowance=1).place == 1
    assert look("g:ann", allowance=1).state == "outside"
    assert look("g:ben", allowance=1).state == "inside"


def test_a_pass_lapses_and_its_visitor_joins_at_the_end(server):
    visit = join("g:ann", allowance=1)
    join("g:ben", allowance=1)
    assert visit.until - visit.now == timedelta(seconds=settings.SHOP_ROOM_PASS_SECONDS)
    server.zadd(INSIDE, {"g:ann": milliseconds() - 1})

    assert not rooms.is_inside(SALE, "g:ann")
    assert look("g:ben", allowance=1).state == "inside"
    assert join("g:ann", allowance=1).place == 1


def test_looking_in_does_not_prolong_a_pass():
    until = join("g:ann", allowance=1).until

    assert join("g:ann", allowance=1).until == until
    assert rooms.is_inside(SALE, "g:ann")


def test_nobody_goes_in_while_nothing_can_be_had():
    join("g:ann", allowance=0)

    assert look("g:ann", allowance=0).place == 1


def test_a_smaller_allowance_sends_nobody_out():
    for name in ("g:ann", "g:ben"):
        join(name, allowance=2)

    assert look("g:ann", allowance=1).state == "inside"
    assert join("g:cem", allowance=1).state == "waiting"


def test_who_leaves_makes_room():
    join("g:ann", allowance=1)
    join("g:ben", allowance=1)

    rooms.leave(SALE, "g:ann")

    assert look("g:ann", allowance=1).state == "outside"
    assert look("g:ben", allowance=1).state == "inside"


def test_who_has_bought_stays_inside_and_takes_nobodys_turn(server):
    for name in ("g:ann", "g:ben", "g:cem"):
        join(name, allowance=2)
    ends = look("g:ann").until

    rooms.serve(SALE, "g:ann")
    rooms.serve(SALE, "g:cem")

    assert look("g:cem", allowance=1).state == "waiting"
    assert look("g:cem", allowance=2).state == "inside"
    ann = look("g:ann")
    assert (ann.state, ann.until) == ("inside", ends)
    assert rooms.is_inside(SALE, "g:ann")
    assert rooms.crowd(SALE).inside == 2
    assert server.ttl(SERVED) > 0


def test_a_pass_of_somebody_who_has_bought_lapses_like_others(server):
    join("g:ann", allowance=1)
    rooms.serve(SALE, "g:ann")
    server.zadd(SERVED, {"g:ann": milliseconds() - 1})

    assert look("g:ann").state == "outside"


def test_many_at_once_are_never_more_inside_than_allowed(server):
    def come(number):
        return join(f"g:{number}", allowance=15).state

    with ThreadPoolExecutor(max_workers=32) as pool:
        states = Counter(pool.map(come, range(200)))

    assert states == {"inside": 15, "waiting": 185}
    assert (server.zcard(INSIDE), server.zcard(WAITING)) == (15, 185)
    assert rooms.crowd(SALE) == rooms.Crowd(waiting=185, called=0, inside=15)


def test_a_long_room_is_emptied_in_steps(server):
    for number in range(300):
        join_early(f"g:{number}")

    for _ in range(2):
        look("g:nobody", allowance=250)

    assert (server.zcard(CALLED), server.zcard(WAITING)) == (250, 50)


# -- The estimate ------------------------------------------------------------------


def test_without_any_admission_there_is_no_estimate():
    join("g:ann", allowance=1)

    assert join("g:ben", allowance=1).estimate is None


def test_the_estimate_follows_the_admissions_of_the_last_minutes(server):
    join("g:ann", allowance=1)
    for name in ("g:ben", "g:cem", "g:dan"):
        join(name, allowance=1)
    filled_at = milliseconds() - 30_000
    server.hset(META, "filled_at", filled_at)
    rooms.leave(SALE, "g:ann")

    visit = look("g:dan", allowance=1)

    assert visit.place == 2
    one_went_in_after = visit.now - datetime.fromtimestamp(filled_at / 1000, UTC)
    assert visit.estimate == 2 * one_went_in_after
    assert visit.estimate >= timedelta(seconds=60)


def test_a_claim_before_anybody_went_in_starts_no_estimate():
    """Those who go in first found room; nobody has had to make it."""
    for number in range(5):
        join_early(f"g:{number}")

    rooms.is_inside(SALE, "g:0")
    visits = [look(f"g:{number}", allowance=3) for number in range(5)]

    waiting = [visit for visit in visits if visit.state == "waiting"]
    assert [visit.estimate for visit in waiting] == [None, None]


def test_old_admissions_count_no_more(server):
    for name in ("g:ann", "g:ben", "g:cem"):
        join(name, allowance=1)
    now = milliseconds()
    server.hset(META, mapping={"filled_at": now - 600_000, "this": 50})
    server.hset(META, "minute", now // 60_000 - 2)

    assert look("g:cem", allowance=1).estimate is None


# -- Loss --------------------------------------------------------------------------


def test_a_lost_room_lets_nobody_in_and_is_joined_again(server):
    join("g:ann", allowance=1)
    server.flushall()
    server.script_flush()

    assert not rooms.is_inside(SALE, "g:ann")
    assert join("g:ann", allowance=1).state == "inside"


def test_a_server_that_is_away_lets_nobody_in(settings, tmp_path):
    join("g:ann", allowance=1)
    settings.QUEUE_REDIS_URL = f"unix://{tmp_path}/nobody.sock"

    for ask in (
        lambda: rooms.is_inside(SALE, "g:ann"),
        lambda: join("g:ann", allowance=1),
        lambda: rooms.crowd(SALE),
    ):
        with pytest.raises(rooms.RoomAway):
            ask()


def test_every_key_goes_away_after_the_sale(server):
    for number in range(3):
        join(f"g:{number}", allowance=1)
    rooms.leave(SALE, "g:0")
    look("g:2", allowance=1)
    look("g:2", allowance=2)

    assert set(server.keys()) <= {WAITING, CALLED, INSIDE, META}
    latest = (CLOSES + rooms.KEPT - datetime.now(UTC)).total_seconds()
    for key in sorted(server.keys()):
        assert latest - 60 < server.ttl(key) <= latest + 1


def test_a_place_that_is_handed_over_goes_away_after_the_sale(server):
    join("g:ann", allowance=1)
    join("g:ben", allowance=1)

    for number, name in enumerate(("g:ann", "g:ben"), start=1):
        rooms.hand_over(SALE, name, f"u:{number}")

    ends = {key: server.ttl(key) for key in sorted(server.keys())}
    assert set(ends) == {WAITING, INSIDE, META}
    assert min(ends.values()) > 0


def test_the_script_keeps_to_its_keys():
    body = rooms.VISIT.read_text(encoding="utf-8").split("]]\n", 1)[1]

    assert "KEYS[6]" not in body
    assert body.count('redis.call("') == body.count("redis.call(")
    for command in ("KEYS *", '"SCAN', '"RANDOMKEY'):
        assert command not in body
