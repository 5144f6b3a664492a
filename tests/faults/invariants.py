"""The ten invariants, computed from Redis and PostgreSQL alone.

Nothing here uses the engine: not its fold, its audit or its client of Redis. What both
get wrong in the same way would otherwise go unnoticed.
"""

from collections import Counter
from dataclasses import dataclass, field

import redis
from django.conf import settings
from django.db import connection
from django.db.models import Sum

from catalog.models import StatusChange, Stock, StockMovement
from sales.models import FlashEvent, FlashSaleItem, Order

OWNING = ("held", "paying", "paid")
QUANTITIES = ("on_hand", "reserved", "allocated")


@dataclass
class Seen:
    """What is stored about one item, as plain numbers and strings."""

    item: FlashSaleItem
    meta: dict = field(default_factory=dict)
    claims: dict = field(default_factory=dict)
    buyers: dict = field(default_factory=dict)
    events: list = field(default_factory=list)
    orders: dict = field(default_factory=dict)
    folded: list = field(default_factory=list)

    @classmethod
    def look(cls, item):
        seen = cls(item)
        with connect() as client:
            base = f"flash:{{{item.pk}}}:"
            seen.meta = client.hgetall(base + "meta")
            claims = client.hgetall(base + "claims")
            seen.claims = {k: v.split("|") for k, v in claims.items() if k != "_epoch"}
            buyers = client.hgetall(base + "buyers")
            seen.buyers = {k: int(v) for k, v in buyers.items() if k != "_epoch"}
            seen.events = client.xrange(base + "events")
        rows = Order.objects.filter(flash_item=item).annotate(n=Sum("lines__quantity"))
        seen.orders = {
            str(claim_id): (state, buyer, n)
            for claim_id, state, buyer, n in rows.values_list(
                "claim_id", "state", "buyer", "n"
            )
        }
        seen.folded = list(
            FlashEvent.objects.filter(item=item, is_poison=False)
            .order_by("seq")
            .values("seq", "kind", "order_id", "buyer", "quantity", "details")
        )
        return seen

    @property
    def is_loaded(self):
        return self.item.state not in ("waiting", "settled")

    def number(self, name):
        return int(self.meta[name])

    def waiting(self):
        """The events that are not in PostgreSQL, as the drain would see them."""
        return [
            (seq_of(event_id), fields)
            for event_id, fields in self.events
            if seq_of(event_id) > self.item.last_seq
        ]


def connect():
    server = redis.RedisCluster if settings.SALE_REDIS_CLUSTER else redis.Redis
    return server.from_url(settings.SALE_REDIS_URL, decode_responses=True)


def seq_of(event_id):
    return int(event_id.partition("-")[0])


def effect(kind, state, quantity, details):
    """What an event does to (units, left, held, paying, paid), and the new state."""
    moves = Counter()
    if kind == "claim":
        moves.update(left=-quantity, held=quantity)
        return moves, "held"
    if kind == "begin":
        moves.update(held=-quantity, paying=quantity)
        return moves, "paying"
    if kind == "confirm":
        moves.update(paying=-quantity, paid=quantity)
        return moves, "paid"
    if kind == "release":
        moves.update({"left": quantity, state: -quantity})
        return moves, "expired" if details.get("reason") == "expired" else "cancelled"
    if kind == "reclaim":
        moves.update({"left": -quantity, details["target"]: quantity})
        return moves, details["target"]
    if kind == "refund":
        restocked = details.get("restock") == "1"
        moves.update(paid=-quantity)
        moves.update(left=quantity) if restocked else moves.update(units=-quantity)
        return moves, "refunded"
    raise AssertionError(kind)


def fold(events, numbers, states):
    """Fold (kind, order id, quantity, details) onto numbers and states, in order."""
    for kind, order_id, quantity, details in events:
        if kind == "recover" and "units" in numbers:
            continue  # it says again what is known
        if kind in ("preload", "recover"):
            for name in ("units", "left", "held", "paying", "paid"):
                numbers[name] = int(details[name])
        elif kind == "adjust":
            numbers["units"] += int(details["delta"])
            numbers["left"] += int(details["delta"])
        else:
            moves, state = effect(kind, states.get(order_id), quantity, details)
            for name, by in moves.items():
                numbers[name] += by
            states[order_id] = state
    return numbers, states


def violations(*, log=None, only_claims=False, limit=None, drained=True):
    """A sentence for each thing that does not hold; empty when all is well.

    `log` is what the clients wrote down; `limit` and `only_claims` say what the test
    did; `drained` that nothing may be waiting.
    """
    found = []
    for item in FlashSaleItem.objects.exclude(state="waiting").order_by("pk"):
        seen = Seen.look(item)
        found += [f"item {item.pk}: {what}" for what in of_item(seen, drained)]
        if seen.is_loaded:
            if only_claims and seen.number("left") < seen.number("floor"):
                found.append(f"3: {seen.meta} is below its floor")
            if limit and max(seen.buyers.values(), default=0) > limit:
                found.append(f"3: a buyer has more than {limit}: {seen.buyers}")
        found += of_flips(seen)
    if log is not None:
        found += of_clients(log)
    return found + of_stock()


def of_item(seen, drained):
    """Invariants 1 to 6 of one item."""
    item, found = seen.item, []

    def check(number, holds, *what):
        if not holds:
            found.append(f"{number}: {what}")

    mirrored = {
        name: getattr(item, name)
        for name in ("units", "left", "held", "paying", "paid")
    }
    check(
        5,
        item.held + item.paying + item.paid <= item.units
        and item.left + item.held + item.paying + item.paid == item.units,
        mirrored,
    )
    # 6: all events again, from the first.
    numbers, states = fold(
        [
            (e["kind"], str(e["order_id"]), e["quantity"], e["details"])
            for e in seen.folded
        ],
        Counter(),
        {},
    )
    check(6, {n: numbers[n] for n in mirrored} == mirrored, dict(numbers), mirrored)
    stored = {claim_id: order[0] for claim_id, order in seen.orders.items()}
    check(6, states == stored, differing(states, stored))
    by_state = Counter()
    for state, _buyer, quantity in seen.orders.values():
        by_state[state] += quantity
    check(
        6,
        all(by_state[name] == getattr(item, name) for name in OWNING),
        dict(by_state),
        mirrored,
    )
    if not seen.is_loaded:
        check(8, not seen.meta, "settled, and keys are there")
        return found
    if not seen.meta:
        return [*found, "1: no counters"]

    n = seen.number
    check(1, n("units") == n("left") + n("held") + n("paying") + n("paid"), seen.meta)
    sums = Counter()
    owned = Counter()
    for state, buyer, quantity, *_ in seen.claims.values():
        sums[state] += int(quantity)
        if state in OWNING:
            owned[buyer] += int(quantity)
    check(1, all(sums[name] == n(name) for name in OWNING), dict(sums), seen.meta)
    check(1, owned == Counter({b: u for b, u in seen.buyers.items() if u}), owned)
    check(3, n("left") >= 0, seen.meta)
    # 4
    waiting = seen.waiting()
    ids = [seq_of(event_id) for event_id, _ in seen.events]
    check(4, ids == list(range(ids[0], n("seq") + 1)), ids[:1], ids[-1:], n("seq"))
    check(4, n("seq") - item.last_seq == len(waiting), n("seq"), item.last_seq)
    check(4, n("epoch") == item.epoch, n("epoch"), item.epoch)
    check(4, {f["epoch"] for _, f in waiting} <= {str(item.epoch)}, "epochs")
    check(4, not (drained and waiting), f"{len(waiting)} events wait")
    # 2: what waits explains the difference.
    ahead, states = fold(
        [
            (f["event"], f.get("order_id"), int(f.get("quantity", 0)), f)
            for _, f in waiting
        ],
        Counter(mirrored),
        dict(stored),
    )
    check(
        2, {name: n(name) for name in mirrored} == dict(ahead), seen.meta, dict(ahead)
    )
    there = {claim_id: claim[0] for claim_id, claim in seen.claims.items()}
    check(2, states == there, differing(states, there))
    return found


def differing(one, other):
    return {
        key: (one.get(key), other.get(key))
        for key in list(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    }


def of_clients(log):
    """Invariant 7, for the claims and payments that clients wrote down."""
    found = []
    known, buyers = {}, {}
    for item in FlashSaleItem.objects.exclude(state="waiting"):
        seen = Seen.look(item)
        for claim_id, (state, buyer, quantity, *_) in seen.claims.items():
            known[claim_id] = (item.pk, buyer, int(quantity))
            buyers[claim_id] = state
        for claim_id, (state, buyer, quantity) in seen.orders.items():
            known[claim_id] = (item.pk, buyer, quantity)
            buyers.setdefault(claim_id, state)
    for claim_id, wanted in log.acknowledged.items():
        if known.get(claim_id) != wanted:
            found.append(f"7: {claim_id} was promised {wanted}: {known.get(claim_id)}")
    for claim_id, wanted in known.items():
        if log.sent.get(claim_id) != wanted:
            found.append(f"7: nobody asked for {claim_id} {wanted}")
    return found + of_steps(log, buyers)


def of_steps(log, now):
    """What clients were told last of an order is how it still is."""
    told = {
        "paid": (log.paid, ("paid", "refunded")),
        "cancelled": (log.cancelled, ("cancelled", "expired")),
        "held again": (log.held_again, ("held", "expired")),
    }
    return [
        f"7: {claim_id} was {word} and is {now.get(claim_id)}"
        for word, (claim_ids, states) in told.items()
        for claim_id in claim_ids
        if now.get(claim_id) not in states
    ]


def of_flips(seen):
    """Invariant 9: one StatusChange to OUT for each crossing of the threshold."""
    product_id = seen.item.product_id
    if FlashSaleItem.objects.filter(product_id=product_id).count() != 1:
        return []
    stock = Stock.objects.get(pk=product_id)
    steps = []
    for event in seen.folded:
        kind, quantity = event["kind"], event["quantity"]
        if kind in ("claim", "reclaim"):
            steps.append(-quantity)
        elif kind == "release" or (
            kind == "refund" and event["details"].get("restock") == "1"
        ):
            steps.append(quantity)
    unpromised = stock.on_hand - stock.reserved - sum(steps)
    crossings = 0
    for step in steps:
        before, unpromised = unpromised, unpromised + step
        crossings += unpromised <= stock.safety_threshold < before
    flips = StatusChange.objects.filter(
        product_id=product_id, to_status="out_of_stock", cause__startswith="flash:"
    )
    if flips.count() != crossings:
        return [
            f"9: {flips.count()} flips of product {product_id}, {crossings} crossings"
        ]
    return []


def of_stock():
    """Invariant 10, and that every reserved and allocated unit has its reason."""
    found = []
    for stock in Stock.objects.all():
        total = dict.fromkeys(QUANTITIES, 0)
        for movement in StockMovement.objects.filter(product_id=stock.pk).order_by(
            "pk"
        ):
            for name in QUANTITIES:
                total[name] += getattr(movement, f"{name}_delta")
            after = {name: getattr(movement, f"{name}_after") for name in QUANTITIES}
            if after != total:
                found.append(f"10: movement {movement.pk} says {after}, not {total}")
        row = {name: getattr(stock, name) for name in QUANTITIES}
        if row != total:
            found.append(f"10: product {stock.pk} is {row}, its ledger {total}")
        if stock.reserved + stock.allocated > stock.on_hand or min(row.values()) < 0:
            found.append(f"10: product {stock.pk} promises too much: {row}")
        reserved = promised(stock.pk)
        if stock.reserved != reserved:
            found.append(f"10: product {stock.pk} reserves {row}, not {reserved}")
        allocated = set_aside(stock.pk)
        if stock.allocated != allocated:
            found.append(f"10: product {stock.pk} allocates {row}, not {allocated}")
    return found


def promised(product_id):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(quantity), 0) FROM sales_orderline l"
            " JOIN sales_order o ON o.id = l.order_id"
            " WHERE l.product_id = %s AND o.state IN ('held', 'paying')",
            [product_id],
        )
        return cursor.fetchone()[0]


def set_aside(product_id):
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT coalesce(sum("left"), 0) FROM sales_flashsaleitem'
            " WHERE product_id = %s AND state NOT IN ('waiting', 'settled')",
            [product_id],
        )
        (left,) = cursor.fetchone()
        cursor.execute(
            "SELECT coalesce(sum(a.units_delta), 0) FROM sales_flashadjustment a"
            " JOIN sales_flashsaleitem i ON i.id = a.item_id"
            " WHERE i.product_id = %s AND a.units_delta > 0"
            " AND a.applied_seq IS NULL AND a.refused_at IS NULL",
            [product_id],
        )
        return left + cursor.fetchone()[0]


def held_to_the_end(item):
    """Invariant 8: with enough demand all is sold, down to the floor."""
    item.refresh_from_db()
    return item.left == item.floor and item.paid == item.units - item.floor
