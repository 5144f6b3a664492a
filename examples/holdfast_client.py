"""A small client of Holdfast's JSON API; copy it, it needs the standard library only.

    shop = Holdfast("http://127.0.0.1:8000").as_guest()
    shop.join_waiting_room(7)  # in a sale that has one
    claimed = shop.claim(sale_id=7, sku="TEAPOT", quantity=1)
    payment = shop.begin_payment(claimed["order_id"])
    print("pay at", payment["payment_url"])

A client keeps one connection open and is for one thread. Calls that make something
carry an Idempotency-Key, so that they can be repeated after a lost answer; this client
does so by itself.
"""

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, NotRequired, TypedDict
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID, uuid4

BASE = "/api/v1"
REPEATED = 5


class Flash(TypedDict):
    sale_id: int
    name: str
    price: str
    opens_at: str
    closes_at: str
    state: str
    left: int | None
    limit_per_buyer: int


class Product(TypedDict):
    sku: str
    name: str
    price: str
    currency: str
    status: str
    only_left: int | None
    flash: Flash | None


class Stock(TypedDict):
    sku: str
    on_hand: int
    reserved: int
    allocated: int
    available: int
    safety_threshold: int
    threshold_origin: str
    low_stock_level: int
    sellable: int
    status: str
    version: int


class Cart(TypedDict):
    id: str
    items: list[dict[str, Any]]
    total: str
    currency: str


class Order(TypedDict):
    id: str
    state: str
    email: str
    lines: list[dict[str, Any]]
    total: str
    currency: str
    flash_sale_id: int | None
    expires_at: str
    created_at: str
    paid_at: str | None


class Payment(TypedDict):
    payment_url: str
    payment_id: str
    state: str
    amount: str
    currency: str


class SaleItem(TypedDict):
    sku: str
    name: str
    price: str
    regular_price: str
    limit_per_buyer: int
    state: str
    units: int | None
    left: int | None
    floor: int | None
    held: int | None
    paying: int | None
    paid: int | None
    error: str | None


class Sale(TypedDict):
    id: int
    name: str
    state: str
    opens_at: str
    closes_at: str
    now: str
    has_waiting_room: bool
    items: list[SaleItem]


class Place(TypedDict):
    """A buyer's place in the waiting room of a sale."""

    state: str
    inside: bool
    place: int | None
    ahead: int | None
    estimated_seconds: int | None
    pass_ends_at: str | None
    opens_at: str
    now: str


class Offer(TypedDict):
    """One product of a new sale; `units` may be "all"."""

    sku: str
    units: int | str
    price: str
    limit_per_buyer: NotRequired[int]


class Claim(TypedDict):
    order_id: str
    state: str
    expires_at: str
    left: int


class ApiError(Exception):
    """The shop said no; decide by `code`, show `detail`, look into `problem`."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code: str = problem.get("code", "error")
        self.detail: str = problem.get("detail", "")
        super().__init__(f"{status} {self.code}: {self.detail}")


class Holdfast:
    """One caller of one shop."""

    def __init__(self, url: str, token: str = "", *, timeout: float = 10) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.timeout = timeout
        self._parts = urlsplit(self.url)
        self._connection: HTTPConnection | None = None

    # -- Who calls ------------------------------------------------------------------

    def as_guest(self) -> "Holdfast":
        """The same shop for a new guest."""
        return self._with(self.post("/guests")["token"])

    def register(self, email: str, password: str) -> "Holdfast":
        """The same shop for a new account."""
        made = self.post("/users", {"email": email, "password": password})
        return self._with(made["token"])

    def sign_in(self, email: str, password: str, code: str = "") -> "Holdfast":
        """The same shop for an account that is there."""
        body = {"email": email, "password": password, "code": code}
        return self._with(self.post("/tokens", body)["token"])

    # -- Products and stock ---------------------------------------------------------

    def products(self, *, status: str = "", q: str = "") -> Iterator[Product]:
        """All products, page by page."""
        given = {"status": status, "q": q}
        yield from self._all("/products", {k: v for k, v in given.items() if v})

    def product(self, sku: str) -> Product:
        return self.get(f"/products/{quote(sku)}")  # type: ignore[no-any-return]

    def create_product(self, sku: str, name: str, price: str, **fields: Any) -> Product:
        body = {"sku": sku, "name": name, "price": price, **fields}
        return self.post("/products", body)  # type: ignore[no-any-return]

    def stock(self, sku: str) -> Stock:
        return self.get(f"/products/{quote(sku)}/stock")  # type: ignore[no-any-return]

    def change_stock(self, sku: str, *, reason: str, **fields: Any) -> Stock:
        """Set `on_hand`, `safety_threshold` or `low_stock_level` to what you say.

        Reads the version first. Raises ApiError `version_conflict` if somebody else was
        faster; then decide again.
        """
        body = {"expected_version": self.stock(sku)["version"], "reason": reason}
        path = f"/products/{quote(sku)}/stock"
        return self.call("PATCH", path, body | fields)  # type: ignore[no-any-return]

    # -- Carts and orders -----------------------------------------------------------

    def create_cart(self) -> Cart:
        return self.post("/carts")  # type: ignore[no-any-return]

    def put(self, cart_id: str, sku: str, quantity: int) -> Cart:
        """Set how many units the cart holds; 0 takes the product out."""
        path = f"/carts/{cart_id}/items/{quote(sku)}"
        return self.call("PUT", path, {"quantity": quantity})  # type: ignore[no-any-return]

    def place_order(
        self, cart_id: str, email: str, *, key: UUID | None = None
    ) -> Order:
        """Raises ApiError `insufficient_stock`, with `problem["lines"]`."""
        body = {"cart_id": cart_id, "email": email}
        return self.post("/orders", body, key=key)  # type: ignore[no-any-return]

    def orders(self) -> Iterator[Order]:
        """The orders of the account, newest first."""
        return self._all("/orders", {})

    def order(self, order_id: str) -> Order:
        return self.get(f"/orders/{order_id}")  # type: ignore[no-any-return]

    def begin_payment(self, order_id: str) -> Payment:
        return self.post(f"/orders/{order_id}/payment")  # type: ignore[no-any-return]

    def cancel(self, order_id: str) -> Order:
        return self.post(f"/orders/{order_id}/cancel")  # type: ignore[no-any-return]

    def decide_test_payment(self, payment_id: str, outcome: str) -> dict[str, Any]:
        """Play the test provider: "paid" or "declined"."""
        path = f"/payments/test/{payment_id}"
        return self.post(path, {"outcome": outcome})  # type: ignore[no-any-return]

    # -- Flash sales ----------------------------------------------------------------

    def flash_sales(self, *, state: str = "") -> Iterator[Sale]:
        """All flash sales, the latest first."""
        yield from self._all("/flash-sales", {"state": state} if state else {})

    def flash_sale(self, sale_id: int) -> Sale:
        return self.get(f"/flash-sales/{sale_id}")  # type: ignore[no-any-return]

    def create_flash_sale(
        self,
        name: str,
        opens_at: str,
        closes_at: str,
        items: list[Offer],
        *,
        has_waiting_room: bool = False,
    ) -> Sale:
        body = {
            "name": name,
            "opens_at": opens_at,
            "closes_at": closes_at,
            "items": items,
            "has_waiting_room": has_waiting_room,
        }
        return self.post("/flash-sales", body)  # type: ignore[no-any-return]

    def preload(self, sale_id: int) -> Sale:
        return self.post(f"/flash-sales/{sale_id}/preload")  # type: ignore[no-any-return]

    def pause(self, sale_id: int) -> Sale:
        return self.post(f"/flash-sales/{sale_id}/pause")  # type: ignore[no-any-return]

    def resume(self, sale_id: int) -> Sale:
        return self.post(f"/flash-sales/{sale_id}/resume")  # type: ignore[no-any-return]

    def open_waiting_room(self, sale_id: int) -> Sale:
        return self.post(f"/flash-sales/{sale_id}/waiting-room/open")  # type: ignore[no-any-return]

    def close_waiting_room(self, sale_id: int) -> Sale:
        return self.post(f"/flash-sales/{sale_id}/waiting-room/close")  # type: ignore[no-any-return]

    def end(self, sale_id: int) -> Sale:
        return self.post(f"/flash-sales/{sale_id}/end")  # type: ignore[no-any-return]

    def audit(self, sale_id: int) -> dict[str, Any]:
        return self.get(f"/flash-sales/{sale_id}/audit")  # type: ignore[no-any-return]

    def join_waiting_room(self, sale_id: int) -> Place:
        """Take a place, or keep it; `inside` at once where there is no room."""
        return self.post(f"/flash-sales/{sale_id}/waiting-room")  # type: ignore[no-any-return]

    def look_into_waiting_room(self, sale_id: int) -> Place:
        """The place now; ask every few seconds until `inside`, then claim."""
        return self.get(f"/flash-sales/{sale_id}/waiting-room")  # type: ignore[no-any-return]

    def leave_waiting_room(self, sale_id: int) -> Place:
        """Give the place to the next."""
        return self.call("DELETE", f"/flash-sales/{sale_id}/waiting-room")  # type: ignore[no-any-return]

    def claim(
        self, sale_id: int, sku: str, quantity: int = 1, *, key: UUID | None = None
    ) -> Claim:
        """Raises ApiError `sold_out`, `all_held`, `waiting_room`, `not_started` ..."""
        body = {"sku": sku, "quantity": quantity}
        path = f"/flash-sales/{sale_id}/claims"
        return self.post(path, body, key=key)  # type: ignore[no-any-return]

    # -- Any call -------------------------------------------------------------------

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, *, key: UUID | None = None) -> Any:
        return self.call("POST", path, body, key=key or uuid4())

    def call(
        self, method: str, path: str, body: Any = None, *, key: UUID | None = None
    ) -> Any:
        """What the shop answers; repeated while it is not known whether it was done."""
        for number in range(REPEATED):
            try:
                return self._once(method, path, body, key)
            except (OSError, HTTPException):
                self.close()
                if number == REPEATED - 1 or (method == "POST" and key is None):
                    raise
                time.sleep(0.1 * 2**number)
            except ApiError as error:
                if error.status != 503 or number == REPEATED - 1:
                    raise
                time.sleep(0.2 * 2**number)
        raise AssertionError("not reached")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(self, method: str, path: str, body: Any, key: UUID | None) -> Any:
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if key is not None:
            headers["Idempotency-Key"] = str(key)
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body)
        connection = self._connect()
        target = self._parts.path + BASE + path
        connection.request(method, target, content, headers)
        return _read(connection.getresponse())

    def _connect(self) -> HTTPConnection:
        if self._connection is None:
            kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
            self._connection = kind(self._parts.netloc, timeout=self.timeout)
        return self._connection

    def _all(self, path: str, query: dict[str, str]) -> Iterator[Any]:
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(f"{path}?{urlencode({**query, 'cursor': cursor})}")
            yield from page["items"]
            cursor = page["next"]

    def _with(self, token: str) -> "Holdfast":
        return Holdfast(self.url, token, timeout=self.timeout)


def _read(response: HTTPResponse) -> Any:
    content = response.read()
    is_json = "json" in response.headers.get("Content-Type", "")
    answer = json.loads(content) if is_json and content else {}
    if response.status >= 400:
        raise ApiError(response.status, answer)
    return answer
