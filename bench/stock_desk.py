"""Server time of the stock desk as the number of products grows.

    python -m bench.stock_desk [--sizes 1000,10000,100000] [--rounds 20]

Starts its own servers in a directory of its own, loads the products, and asks for each
page as a signed-in owner, through Django's whole stack, without a network. Least and
median are times of the clock: how far they are apart says how busy the machine was with
other things. The third figure is processor time, of Python and its PostgreSQL process,
which depends less on that. Stops when a page takes more queries at one size than at
another.
"""

# ruff: noqa: T201

import os
import statistics
import time
from pathlib import Path
from typing import Any

from bench import many_products

DESK = "/admin/catalog/stock/"
PAGES = {
    "nothing (health)": "/healthz",
    "desk, first page": f"{DESK}?view=all",
    "desk, deep page": "",
    "search, a common word": f"{DESK}?q=lamp",
    "search, one product": f"{DESK}?q=0000007",
    "search, no product": f"{DESK}?q=zzzz",
    "only out of stock": f"{DESK}?status=out_of_stock",
    "only low or out": f"{DESK}?level=low",
    "only in a flash sale": f"{DESK}?flash=allocated",
    "only inheriting": f"{DESK}?threshold=inherited",
    "one category": f"{DESK}?category=",
    "by on hand": f"{DESK}?o=on_hand",
    "by reserved, falling": f"{DESK}?o=-reserved",
    "by allocated, falling": f"{DESK}?o=-allocated",
    "by available": f"{DESK}?o=available",
    "by sellable": f"{DESK}?o=sellable",
    "by status": f"{DESK}?o=status",
    "by threshold, falling": f"{DESK}?o=-safety_threshold",
    "by low level, falling": f"{DESK}?o=-low_stock_level",
    "common word by on hand": f"{DESK}?q=lamp&o=-on_hand",
    "why this number?": "why",
}
PAGE_SIZE = 25


def measure(sizes: list[int], rounds: int) -> None:
    from catalog import many

    client = merchant()
    load = os.getloadavg()[0]
    print(f"load average at the start: {load:.1f} on {os.cpu_count()} cores\n")
    print(f"{'ms: least / median / cpu':<28} {'queries':>7}", end="")
    print("".join(f"{size:>22,}" for size in sizes))
    columns = []
    for size in sizes:
        many.load(size)
        move_some(size)
        columns.append(
            {name: ask(client, address(url), rounds) for name, url in PAGES.items()}
        )
    for name in PAGES:
        counts = {found[name][3] for found in columns}
        assert len(counts) == 1 or name.startswith("search"), (name, counts)
        cells = (" / ".join(f"{ms:.1f}" for ms in found[name][:3]) for found in columns)
        print(f"{name:<28} {max(counts):>7}", "".join(f"{cell:>22}" for cell in cells))
    print(f"\nload average at the end: {os.getloadavg()[0]:.1f}")


def merchant() -> Any:
    """A client where an owner is signed in."""
    from django.contrib.auth.models import Group, User
    from django.test import Client

    user = User.objects.create_user("owner@example.org", is_staff=True)
    user.groups.add(Group.objects.get(name="owner"))
    client = Client(HTTP_HOST="localhost")
    client.force_login(user)
    return client


def move_some(size: int) -> None:
    """Promise units of some products, so that every filter and order finds some."""
    from catalog import stock
    from catalog.models import Stock

    for row in Stock.objects.filter(sellable__gt=10).order_by("-pk")[:60]:
        stock.reserve({row.pk: 2}, note=stock.Note(cause="bench"))
        stock.allocate(row.pk, 3, note=stock.Note(cause="bench"))


def address(url: str) -> str:
    """The address of a page; some depend on what is there."""
    from catalog.models import Category, Product

    if url == "":
        return deep_page()
    if url == "why":
        return f"{DESK}{Product.objects.latest('pk').pk}/change/"
    if url.endswith("category="):
        return f"{url}{Category.objects.earliest('pk').pk}"
    return url


def deep_page() -> str:
    """The address of a page halfway down: page 2,000 of a hundred thousand products."""
    from catalog import keyset
    from catalog.models import Product

    middle = Product.objects.count() // 2
    before = Product.objects.order_by("name", "pk")[middle]
    before.by_name = before.name  # type: ignore[attr-defined]
    return f"{DESK}?cursor={keyset._write(before, 'by_name', back=False)}"


def ask(client: Any, url: str, rounds: int) -> tuple[float, float, float, int]:
    """Least, median and processor time in ms, and the number of queries."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url)
    queries = len(captured)  # the next request forgets them
    assert response.status_code == 200, (url, response.status_code)
    times, busy = [], processor_time(connection)
    for _ in range(rounds):
        began = time.perf_counter()
        client.get(url)
        times.append((time.perf_counter() - began) * 1000)
    busy = (processor_time(connection) - busy) * 1000 / rounds
    return min(times), statistics.median(times), busy, queries


def processor_time(connection: Any) -> float:
    """Seconds that Python and the PostgreSQL process of this connection have worked."""
    connection.ensure_connection()
    stat = Path(f"/proc/{connection.connection.info.backend_pid}/stat")
    if not stat.exists():  # not Linux: Python alone
        return time.process_time()
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return time.process_time() + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    many_products.run(measure, about=__doc__, rounds=20)
