"""Play a flash sale against a running shop, and check that nothing was oversold.

    python tests/load/flash_sale.py --base-url http://127.0.0.1:8000 --buyers 200

The standard library is enough. The script signs in as a merchant (by default the one of
the demo shop), makes a product and a flash sale of it, lets buyers look, claim, pay,
change their minds and walk away, and compares what they were told with what the shop
has in the end. The exit status is 0 if everything fits. For more buyers than the limits
of one address allow, start the shop with SHOP_RATE_LIMITS=off.
"""

import argparse
import os
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

from holdfast_client import ApiError, Holdfast, Sale

BASE_URL = os.environ.get("BASE_URL", "http://127.0.0.1:8000")
REFUSALS = {"sold_out", "all_held", "limit_reached"}
THRESHOLD = 5
SETTLE_SECONDS = 20
PATIENCE_SECONDS = 10


@dataclass
class Tally:
    """What buyers did and were told; written by many threads."""

    counts: Counter = field(default_factory=Counter)
    claimed: int = 0
    paid: int = 0
    given_back: int = 0
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, **units: int) -> None:
        with self.lock:
            self.counts[what] += 1
            for name, number in units.items():
                setattr(self, name, getattr(self, name) + number)

    def note_time(self, seconds: float) -> None:
        with self.lock:
            self.seconds.append(seconds)

    def note_wrong(self, sentence: str) -> None:
        with self.lock:
            self.wrong.append(sentence)


def main() -> int:
    options = read_options()
    merchant = Holdfast(options.base_url).sign_in(options.email, options.password)
    sale = make_sale(
        merchant,
        units=options.units,
        limit=options.limit,
        has_waiting_room=options.waiting_room,
    )
    sku = sale["items"][0]["sku"]
    say(f"{options.buyers} buyers, {options.units} units of {sku}, sale {sale['id']}")
    guests = enter(options.base_url, options.buyers)
    wait_for(sale["opens_at"])

    tally, start = Tally(), time.perf_counter()
    with ThreadPoolExecutor(max_workers=min(options.buyers, 100)) as pool:
        for guest in guests:
            pool.submit(shop, guest, sale["id"], sku, options.limit, tally)
    took = time.perf_counter() - start

    end = merchant.end(sale["id"])
    report(tally, took)
    problems = tally.wrong + check(merchant, end, sku, options.units, tally)
    for problem in problems:
        say(f"WRONG: {problem}")
    say("Everything fits." if not problems else f"{len(problems)} things do not fit.")
    return 1 if problems else 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url", default=BASE_URL)
    parser.add_argument("--buyers", type=int, default=200)
    parser.add_argument("--units", type=int, default=50, help="above the threshold")
    parser.add_argument("--limit", type=int, default=3, help="units per buyer")
    parser.add_argument("--waiting-room", action="store_true", help="let buyers wait")
    parser.add_argument("--email", default="merchant@demo.test")
    parser.add_argument("--password", default="holdfast-demo")
    return parser.parse_args()


def make_sale(
    merchant: Holdfast, *, units: int, limit: int, has_waiting_room: bool = False
) -> Sale:
    """A sale of a new product that opens in two seconds, loaded."""
    sku = f"LOAD-{uuid4().hex[:8].upper()}"
    merchant.create_product(
        sku,
        f"Load test {sku}",
        "20.00",
        on_hand=units + THRESHOLD,
        safety_threshold=THRESHOLD,
        low_stock_level=10,
    )
    now = datetime.now(UTC)
    made = merchant.create_flash_sale(
        f"Load test {sku}",
        (now + timedelta(seconds=2)).isoformat(),
        (now + timedelta(hours=1)).isoformat(),
        [{"sku": sku, "units": "all", "price": "9.90", "limit_per_buyer": limit}],
        has_waiting_room=has_waiting_room,
    )
    return merchant.preload(made["id"])


def enter(url: str, buyers: int) -> list[Holdfast]:
    """A guest for each buyer, before the doors open."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda _: Holdfast(url).as_guest(), range(buyers)))


def wait_for(moment: str) -> None:
    opens = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    time.sleep(max(0.0, (opens - datetime.now(UTC)).total_seconds()) + 0.2)


def shop(guest: Holdfast, sale_id: int, sku: str, limit: int, tally: Tally) -> None:
    """One buyer: look, claim, then pay, change their mind or walk away."""
    dice = random.Random()
    try:
        has_room = guest.flash_sale(sale_id)["has_waiting_room"]
        if has_room and not go_in(guest, sale_id, tally):
            return
        quantity = dice.randint(1, limit)
        held = claim(guest, sale_id, sku, quantity, tally)
        if held is not None:
            decide(guest, held, quantity, dice.random(), tally)
        if has_room:
            guest.leave_waiting_room(sale_id)
    except ApiError as error:
        tally.note(error.code)
        tally.note_wrong(f"{error}")
    except Exception as error:
        tally.note_wrong(f"{type(error).__name__}: {error}")
    finally:
        guest.close()


def go_in(guest: Holdfast, sale_id: int, tally: Tally) -> bool:
    """Wait in the sale's waiting room for a while; whether the buyer was let in."""
    place = guest.join_waiting_room(sale_id)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not place["inside"]:
        if place["state"] != "waiting" or time.monotonic() > deadline:
            tally.note(f"waiting room: {place['state']}")
            guest.leave_waiting_room(sale_id)
            return False
        time.sleep(0.3)
        place = guest.look_into_waiting_room(sale_id)
    tally.note("let in")
    return True


def claim(
    guest: Holdfast, sale_id: int, sku: str, quantity: int, tally: Tally
) -> str | None:
    """The id of the order, or None; tried again while others only hold."""
    for _ in range(5):
        start = time.perf_counter()
        try:
            answer = guest.claim(sale_id, sku, quantity)
        except ApiError as error:
            tally.note_time(time.perf_counter() - start)
            tally.note(error.code)
            if error.code not in REFUSALS:
                raise
            if error.problem.get("left", 0) >= quantity:
                tally.note_wrong(f"{quantity} refused, though {error.problem}")
            if error.code != "all_held":
                return None
            time.sleep(0.2)
        else:
            tally.note_time(time.perf_counter() - start)
            tally.note("claimed", claimed=quantity)
            if answer["left"] < 0:
                tally.note_wrong(f"less than nothing is left: {answer}")
            return answer["order_id"]
    return None


def decide(
    guest: Holdfast, order_id: str, quantity: int, mood: float, tally: Tally
) -> None:
    """Seven of ten pay; the others cancel, are declined, or just leave."""
    if mood < 0.1:
        guest.cancel(order_id)
        tally.note("cancelled", given_back=quantity)
        return
    if mood < 0.2:
        tally.note("walked away")
        return
    payment = guest.begin_payment(order_id)
    outcome = "declined" if mood < 0.3 else "paid"
    guest.decide_test_payment(payment["payment_id"], outcome)
    state = guest.order(order_id)["state"]
    if outcome == "paid":
        tally.note("paid", paid=quantity)
    else:
        tally.note("declined", given_back=quantity)
    if state != {"paid": "paid", "declined": "cancelled"}[outcome]:
        tally.note_wrong(f"order {order_id} is {state} after {outcome}")


def check(
    merchant: Holdfast, end: Sale, sku: str, units: int, tally: Tally
) -> list[str]:
    """What does not fit between buyers, counters, stock and audit."""
    item = end["items"][0]
    owned = tally.claimed - tally.given_back
    wrong = []
    if owned > units:
        wrong.append(f"{owned} units are promised, {units} were for sale: OVERSOLD")
    held = (item["held"] or 0) + (item["paying"] or 0) + (item["paid"] or 0)
    if held != owned or item["paid"] != tally.paid:
        wrong.append(f"buyers own {owned} and paid {tally.paid}; the sale says {item}")
    if (item["left"] or 0) != units - owned:
        wrong.append(f"{item['left']} are left, not {units - owned}")
    deadline = time.monotonic() + SETTLE_SECONDS
    expected = units + THRESHOLD - tally.paid
    stock = merchant.stock(sku)
    while stock["on_hand"] != expected and time.monotonic() < deadline:
        time.sleep(0.5)
        stock = merchant.stock(sku)
    if stock["on_hand"] != expected or stock["available"] < 0:
        wrong.append(f"{expected} should be on hand: {stock}")
    audit = merchant.audit(end["id"])
    if audit["verdict"] == "drift":
        wrong += [f"audit: {f}" for f in audit["findings"] if f["holds"] is False]
    return wrong


def report(tally: Tally, took: float) -> None:
    for what, number in sorted(tally.counts.items()):
        say(f"{number:6} {what}")
    times = sorted(tally.seconds) or [0.0]

    def at(part: float) -> float:
        return 1000 * times[min(len(times) - 1, int(part * len(times)))]

    say(
        f"{len(times)} claims in {took:.1f} s; answered within "
        f"{at(0.5):.0f} ms (half), {at(0.95):.0f} ms (95%), {at(1):.0f} ms (all)"
    )


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
