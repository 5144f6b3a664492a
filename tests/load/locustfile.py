"""The same flash sale for Locust, which has its own environment:

    python -m venv /tmp/locust && /tmp/locust/bin/pip install locust
    BASE_URL=http://127.0.0.1:8000 /tmp/locust/bin/locust -f tests/load/locustfile.py \
        --headless --users 500 --spawn-rate 250 --run-time 60s

UNITS (200), LIMIT (2), EMAIL and PASSWORD say what is sold and by whom; with
WAITING_ROOM=1 shoppers go in through a waiting room. The totals are checked when the
run ends; the exit status is 1 if they do not fit. Start the shop with
SHOP_RATE_LIMITS=off: all shoppers come from one address.
"""

import os
import random
import sys
import time
from pathlib import Path
from uuid import uuid4

from locust import HttpUser, between, events, task
from locust.exception import StopUser

sys.path.insert(0, str(Path(__file__).resolve().parent))

import flash_sale
from flash_sale import PATIENCE_SECONDS, REFUSALS, Tally
from holdfast_client import BASE, Holdfast

UNITS = int(os.environ.get("UNITS", "200"))
LIMIT = int(os.environ.get("LIMIT", "2"))
WAITING_ROOM = os.environ.get("WAITING_ROOM", "") == "1"
EMAIL = os.environ.get("EMAIL", "merchant@demo.test")
PASSWORD = os.environ.get("PASSWORD", "holdfast-demo")

tally = Tally()
played = {}


@events.init.add_listener
def let_shoppers_finish(environment, **_):
    environment.stop_timeout = 120  # an answer nobody waits for would not be counted


@events.test_start.add_listener
def make_sale(environment, **_):
    merchant = Holdfast(flash_sale.BASE_URL).sign_in(EMAIL, PASSWORD)
    sale = flash_sale.make_sale(
        merchant, units=UNITS, limit=LIMIT, has_waiting_room=WAITING_ROOM
    )
    flash_sale.wait_for(sale["opens_at"])
    played.update(merchant=merchant, id=sale["id"], sku=sale["items"][0]["sku"])


@events.test_stop.add_listener
def check_totals(environment, **_):
    merchant = played["merchant"]
    end = merchant.end(played["id"])
    wrong = tally.wrong + flash_sale.check(merchant, end, played["sku"], UNITS, tally)
    for sentence in wrong:
        flash_sale.say(f"WRONG: {sentence}")
    flash_sale.say(f"{dict(tally.counts)}; {'nothing' if not wrong else 'WRONG'} amiss")
    environment.process_exit_code = 1 if wrong else 0


class Shopper(HttpUser):
    """Looks around, claims once, decides, and leaves."""

    host = flash_sale.BASE_URL
    wait_time = between(0.1, 1)

    def on_start(self):
        token = self.client.post(f"{BASE}/guests").json()["token"]
        self.client.headers["Authorization"] = f"Bearer {token}"
        self.path = f"{BASE}/flash-sales/{played['id']}"

    @task(3)
    def look(self):
        self.client.get(self.path, name="sale")

    @task(1)
    def browse(self):
        self.client.get(f"{BASE}/products", name="products")

    @task(2)
    def buy(self):
        has_room = self.client.get(self.path, name="sale").json()["has_waiting_room"]
        if has_room and not self.go_in():
            raise StopUser
        quantity = random.randint(1, LIMIT)
        order_id = self.claim(quantity)
        if order_id is not None:
            self.decide(order_id, quantity, random.random())
        if has_room:
            self.client.delete(f"{self.path}/waiting-room", name="leave the room")
        raise StopUser

    def go_in(self):
        """Wait in the sale's waiting room for a while; whether one was let in."""
        room = f"{self.path}/waiting-room"
        place = self.client.post(room, name="join the room").json()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not place["inside"]:
            if place["state"] != "waiting" or time.monotonic() > deadline:
                tally.note(f"waiting room: {place['state']}")
                self.client.delete(room, name="leave the room")
                return False
            time.sleep(0.3)
            place = self.client.get(room, name="look into the room").json()
        tally.note("let in")
        return True

    def claim(self, quantity):
        key = str(uuid4())
        for _ in range(5):
            with self.client.post(
                f"{self.path}/claims",
                json={"sku": played["sku"], "quantity": quantity},
                headers={"Idempotency-Key": key},
                name="claim",
                catch_response=True,
            ) as answer:
                if answer.status_code in (200, 201):
                    tally.note("claimed", claimed=quantity)
                    return answer.json()["order_id"]
                code = _code(answer)
                tally.note(code)
                if code in REFUSALS:
                    answer.success()
                    return None
        tally.note_wrong(f"claim {key} got no answer")
        return None

    def decide(self, order_id, quantity, mood):
        order = f"{BASE}/orders/{order_id}"
        if mood < 0.1:
            self.client.post(f"{order}/cancel", name="cancel").raise_for_status()
            tally.note("cancelled", given_back=quantity)
            return
        if mood < 0.2:
            tally.note("walked away")
            return
        payment = self.client.post(f"{order}/payment", name="payment").json()
        outcome = "declined" if mood < 0.3 else "paid"
        self.client.post(
            f"{BASE}/payments/test/{payment['payment_id']}",
            json={"outcome": outcome},
            name="provider",
        ).raise_for_status()
        units = {"paid" if outcome == "paid" else "given_back": quantity}
        tally.note(outcome, **units)


def _code(answer):
    try:
        return answer.json().get("code", str(answer.status_code))
    except ValueError:
        return str(answer.status_code)
