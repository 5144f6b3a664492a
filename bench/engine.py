"""The measures: claims, connections, drain, recovery, audit, expiry, ways to sell."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import count
from uuid import UUID, uuid4

import redis
from django.conf import settings
from django.utils import timezone

from catalog import stock
from catalog.models import Product
from sales import audit, checkout, counters, flash, race, recovery, sync
from sales.counters import Claim
from sales.models import FlashSale, FlashSaleItem

BATCH = 16
_serial = count(1)


@dataclass(frozen=True)
class Row:
    """One choice: what is measured, and the figures of both sides."""

    what: str
    one: str
    first: float
    other: str
    second: float


def rows(orders: int, seconds: float) -> Iterator[Row]:
    """Measure everything, row by row; the items are thrown away with the servers."""
    with counters.patience(30):
        yield _claims(seconds)
        yield _connections(seconds)
        yield from _after_the_rush(orders)
        yield _expiry()
    yield from _ways(seconds)


def _claims(seconds: float) -> Row:
    item = _item()
    single = _rate(lambda: _claim(item, 1), seconds)
    many = _rate(lambda: _claim(item, BATCH), seconds)
    return Row("claims/s", "one per call", single, f"{BATCH} per call", many)


def _connections(seconds: float) -> Row:
    """The same call that writes nothing, so that only the way there counts."""
    item, order_id = _item(), uuid4()
    claim = Claim(order_id, "g:bench", 1)
    counters.claim_many(item.pk, epoch=item.epoch, claims=[claim])
    arguments = (4, *counters.keys(item.pk), item.epoch, str(order_id), "g:bench", 1)
    sha = counters.SHAS["claim"]
    pool = redis.Redis.from_url(settings.SALE_REDIS_URL, decode_responses=True)
    pinned = counters.client()
    pooled_rate = _rate(lambda: _call(pool, sha, arguments), seconds)
    pinned_rate = _rate(lambda: _call(pinned, sha, arguments), seconds)
    return Row("script calls/s", "pool", pooled_rate, "one connection", pinned_rate)


def _after_the_rush(orders: int) -> Iterator[Row]:
    item = _item()
    few = _fill(item, max(100, orders // 20))
    single = len(few) / _seconds(lambda: _drain(item, batch=1))
    many = _fill(item, orders)
    full = len(many) / _seconds(lambda: _drain(item, batch=sync.BATCH))
    yield Row("claims drained/s", "one at a time", single, f"{sync.BATCH:,}", full)
    _pay(item, many)
    steps = 2 * len(many) / _seconds(lambda: _drain(item, batch=sync.BATCH))
    yield Row("drained/s", "claims", full, "payments", steps)
    total = f"{len(few) + len(many):,} orders"
    sums = _seconds(lambda: audit.look([item.pk], [item.product_id], deep=False))
    deep = _seconds(lambda: audit.look([item.pk], [item.product_id]))
    yield Row(f"audit, s, {total}", "sums", sums, "every event", deep)
    verified = _seconds(lambda: recovery.recover(item.pk))
    rebuilt = _seconds(lambda: recovery.recover(item.pk, doubt="to be measured"))
    yield Row(f"recovery, s, {total}", "verified", verified, "rebuilt", rebuilt)


def _expiry() -> Row:
    """Holds that end at once: released one by one, and as the job does it."""
    item = _item()
    counters.client().hset(counters.keys(item.pk)[0], "hold_ms", 0)
    few, many = _fill(item, 100), _fill(item, 1000)
    _drain(item, batch=sync.BATCH)

    def release_few() -> None:
        for order_id in few:
            counters.release(
                item.pk, epoch=item.epoch, order_id=order_id, reason="expired"
            )

    single = len(few) / _seconds(release_few)
    _drain(item, batch=sync.BATCH)
    job = len(many) / _seconds(lambda: checkout.expire_due(timezone.now()))
    return Row("holds expired/s", "one per call", single, "1,000 per job", job)


def _ways(seconds: float) -> Iterator[Row]:
    names = ["row lock", "conditional update", "Redis counter"]
    outcomes = race.run(buyers=50, units=5, seconds=2 * seconds, ways=names)
    rates = {o.way: o.orders_per_second for o in outcomes}
    for one, other in (names[:2], names[1:]):
        yield Row("orders/s, one product", one, rates[one], other, rates[other])


def _item() -> FlashSaleItem:
    """A loaded item of a sale that is open, with a million units."""
    name, now = f"bench-{next(_serial)}", timezone.now()
    product = Product.objects.create(
        name=name, sku=name, slug=name, handle=name, price=Decimal(9)
    )
    stock.open_stock(
        product,
        on_hand=settings.SHOP_MAX_QUANTITY,
        safety_threshold=0,
        low_stock_level=0,
        note=stock.Note(),
    )
    times = {
        "opens_at": now - timedelta(hours=1),
        "closes_at": now + timedelta(hours=9),
    }
    sale = FlashSale.objects.create(name=name, slug=name, **times)
    item = FlashSaleItem.objects.create(
        sale=sale, product=product, price=Decimal(5), limit_per_buyer=10**6, **times
    )
    flash.schedule(sale.pk)
    flash.preload(sale.pk)
    recovery.open_fence(force=True)
    item.refresh_from_db()
    return item


def _claim(item: FlashSaleItem, number: int) -> int:
    claims = [Claim(uuid4(), "g:bench", 1) for _ in range(number)]
    counters.claim_many(item.pk, epoch=item.epoch, claims=claims)
    return number


def _call(client: redis.Redis, sha: str, arguments: tuple[object, ...]) -> int:
    client.evalsha(sha, *arguments)
    return 1


def _fill(item: FlashSaleItem, number: int) -> list[UUID]:
    """Claims of as many buyers, waiting to be drained."""
    ids = [uuid4() for _ in range(number)]
    for start in range(0, number, 500):
        claims = [Claim(pk, f"g:{pk}", 1) for pk in ids[start : start + 500]]
        counters.claim_many(item.pk, epoch=item.epoch, claims=claims)
    return ids


def _pay(item: FlashSaleItem, order_ids: list[UUID]) -> None:
    """Begin and confirm all payments, some hundreds per round trip."""
    for start in range(0, len(order_ids), 250):
        pipeline = counters.client().pipeline(transaction=False)
        for order_id in order_ids[start : start + 250]:
            for script in ("begin_payment", "confirm"):
                arguments = (*counters.keys(item.pk), item.epoch, str(order_id))
                pipeline.evalsha(counters.SHAS[script], 4, *arguments)
        pipeline.execute()


def _drain(item: FlashSaleItem, *, batch: int) -> None:
    sync.drain(item.pk, budget=timedelta(hours=1), batch=batch)


def _rate(step: Callable[[], int], seconds: float) -> float:
    """How many per second; `step` says how many it did."""
    done = 0
    start = time.perf_counter()
    while (lasted := time.perf_counter() - start) < seconds:
        done += step()
    return done / lasted


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
