"""Pictures of what a flash sale shows besides its products: queues, and its states.

They stage small sales of their own through the API, as the merchant, and end them; the
one that the audit has stopped stays. It is found by a number that is written into the
demo's sale Redis by hand, so DATA_DIR must be that of the demo.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

from playwright.sync_api import Page
from redis import Redis

from tests.browser.picture_taking import MERCHANT, PASSWORD, Take, go, shot

STATES: dict[str, Take] = {}
STOPPED: dict[str, Take] = {}
EARLY = "Early Birds", {"PLATES": "59.00", "TOTE": "12.00", "TROWEL": "15.00"}
ROOM = "One of One", {"BOARD": "24.00"}
LINE = "Last Light", {"PEBBLE": "49.00"}
WATCH = "Night Watch", {"BELL": "11.00"}
SOON, LATER = timedelta(seconds=2), timedelta(minutes=20)
SALE_REDIS = Path(os.environ.get("DATA_DIR") or "var") / "sale-redis" / "redis.sock"


@shot(STATES)
def cart_empty(page: Page) -> None:
    go(page, "/cart/")


# -- The waiting room --------------------------------------------------------------


@shot(STATES)
def waiting_room_before(page: Page) -> None:
    if not sale_id(page, EARLY[0], "loaded"):
        stage(page, *EARLY, units=5, opens_in=LATER, has_waiting_room=True)
    open_sale(page, EARLY[0])


@shot(STATES)
def waiting_room_joined(page: Page) -> None:
    page.get_by_role("button", name="Join the waiting room").click()
    page.get_by_text("You have joined.").wait_for()


@shot(STATES)
def waiting_room_inside(page: Page) -> None:
    stage(page, *ROOM, units=1, opens_in=SOON, has_waiting_room=True)
    open_sale(page, ROOM[0])
    page.get_by_role("button", name="Join the waiting room").click()
    page.get_by_role("button", name="Buy now").wait_for()


@shot(STATES)
def waiting_room_place(page: Page) -> None:
    sale = sale_id(page, ROOM[0], "live")
    for _ in range(3):
        call(page, f"flash-sales/{sale}/waiting-room", guest(page))
    page.get_by_role("button", name="Let the next person in").click()
    page.get_by_role("button", name="Join the waiting room").click()
    page.get_by_text("ahead of you").wait_for()
    end(page, sale)


# -- The waiting list --------------------------------------------------------------


@shot(STATES)
def waiting_list(page: Page) -> None:
    go(page, "/products/dune-pendant-light/")
    page.get_by_role("button", name="Join the waiting list").evaluate(
        "button => button.closest('section').scrollIntoView({block: 'center'})"
    )


@shot(STATES)
def waiting_list_place(page: Page) -> None:
    sale = stage(page, *LINE, units=1, opens_in=SOON)
    claim = {"sku": "PEBBLE", "email": "ann@shop.test"}
    call(page, f"flash-sales/{sale}/claims", guest(page), key=holder(sale), **claim)
    open_sale(page, LINE[0])
    page.get_by_label("Your e-mail").fill("bob@shop.test")
    page.get_by_role("button", name="Join the waiting list").click()
    page.get_by_text("You are number 1").wait_for()


@shot(STATES)
def waiting_list_offer(page: Page) -> None:
    order_id = holder(sale_id(page, LINE[0], "live"))
    call(page, f"orders/{order_id}/cancel", merchant(page))
    page.get_by_text("Held for you", exact=True).wait_for()


# -- A sale that does not sell -----------------------------------------------------


@shot(STATES)
def sale_paused(page: Page) -> None:
    page.get_by_role("button", name="Cancel and give the units back").click()
    page.get_by_text("Nothing was charged").wait_for()
    call(page, f"flash-sales/{sale_id(page, LINE[0], 'live')}/pause", merchant(page))
    open_sale(page, LINE[0])
    page.get_by_text("The shop has paused this sale").scroll_into_view_if_needed()


@shot(STATES)
def sale_ended(page: Page) -> None:
    end(page, sale_id(page, LINE[0], "paused"))
    page.reload(wait_until="networkidle")
    page.get_by_text("This sale is over.", exact=True).scroll_into_view_if_needed()


# -- A product that is stopped -----------------------------------------------------


@shot(STOPPED)
def sale_stopped(page: Page) -> None:
    sale = sale_id(page, WATCH[0], "live")
    if not sale:
        sale = stage(page, *WATCH, units=6, opens_in=SOON)
        go_beyond_the_limit(page, sale)
    page.goto(f"/admin/sales/flashsale/{sale}/change/")
    page.locator(".merchant-bad").first.wait_for(timeout=150_000)
    page.reload(wait_until="networkidle")  # with its "Resume"


def go_beyond_the_limit(page: Page, sale: int) -> None:
    """Raise the limit behind the shop's back, in the sale Redis, and use it."""
    meta = f"flash:{{{item_of(page, sale)}}}:meta"
    claim = {"sku": "BELL", "email": "ann@shop.test", "quantity": 2}
    with Redis(unix_socket_path=str(SALE_REDIS)) as redis:
        redis.hset(meta, "limit", 2)
        call(page, f"flash-sales/{sale}/claims", guest(page), **claim)
        redis.hset(meta, "limit", 1)


# -- Staging -----------------------------------------------------------------------


def stage(
    page: Page,
    name: str,
    prices: dict[str, str],
    *,
    units: int,
    opens_in: timedelta,
    has_waiting_room: bool = False,
) -> int:
    """Plan and load a sale; if it opens soon, come back when it is live."""
    opens_at = datetime.now(UTC) + opens_in
    offers = [{"sku": sku, "units": units, "price": prices[sku]} for sku in prices]
    sale = call(
        page,
        "flash-sales",
        merchant(page),
        name=name,
        opens_at=opens_at.isoformat(),
        closes_at=(opens_at + timedelta(hours=1)).isoformat(),
        items=offers,
        has_waiting_room=has_waiting_room,
    )["id"]
    call(page, f"flash-sales/{sale}/preload", merchant(page))
    while opens_in == SOON and sale_id(page, name, "live") != sale:
        page.wait_for_timeout(500)
    return int(sale)


def sale_id(page: Page, name: str, state: str) -> int:
    """The newest sale of that name in that state; 0 when there is none."""
    listed = page.request.get(f"/api/v1/flash-sales?state={state}").json()["items"]
    return next((sale["id"] for sale in listed if sale["name"] == name), 0)


def open_sale(page: Page, name: str) -> None:
    page.goto("/flash/")
    address = page.get_by_role("link", name=name).first.get_attribute("href")
    go(page, str(address))


def item_of(page: Page, sale: int) -> str:
    """The number of a sale's only product, as its audit names it."""
    token = {"Authorization": f"Bearer {merchant(page)}"}
    audit = page.request.get(f"/api/v1/flash-sales/{sale}/audit", headers=token)
    subject = str(audit.json()["findings"][0]["subject"])
    return subject.split(",")[0].removeprefix("item ")


def end(page: Page, sale: int) -> None:
    call(page, f"flash-sales/{sale}/end", merchant(page))


def holder(sale: int) -> str:
    """The order that holds the unit of a sale."""
    return str(uuid5(NAMESPACE_OID, f"holder of {sale}"))


def merchant(page: Page) -> str:
    account = {"email": MERCHANT, "password": PASSWORD}
    return str(call(page, "tokens", **account)["token"])


def guest(page: Page) -> str:
    return str(call(page, "guests")["token"])


def call(
    page: Page, path: str, token: str = "", *, key: str = "", **body: Any
) -> dict[str, Any]:
    """The answer of the shop's API; an error of it ends the picture."""
    headers = {"Idempotency-Key": key or str(uuid4())}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    answer = page.request.post(f"/api/v1/{path}", headers=headers, data=body)
    if not answer.ok:
        raise AssertionError(f"{path}: {answer.text()}")
    return dict(answer.json())
