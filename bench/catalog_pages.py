"""Server time of the catalog's pages as the number of products grows.

    python -m bench.catalog_pages [--sizes 1000,10000,100000] [--rounds 50]

Starts its own servers in a directory of its own, loads the products, and asks for each
page through Django's whole stack, without a network. What a page costs is the processor
time of the shop plus PostgreSQL's own time for its queries, each the least of all
rounds: that hardly depends on what else the machine does. The clock on the wall does;
its least and median stand beside it and show how busy the machine was.
"""

# ruff: noqa: T201

import os
import statistics
import time

from bench import many_products

SEARCHES = {
    "search, a common word": "/products/?q=lamp",
    "search, one product": "/products/?q=0000007",
    "search, no product": "/products/?q=zzzz",
    "search, best match": "/products/?q=lamp&sort=best",
}
PAGES = {
    "nothing (health)": "/healthz",
    "list, first page": "/products/",
    "list, last page": "",
    "list, only what is there": "/products/?available=on",
    "list, by price": "/products/?sort=cheapest",
    **SEARCHES,
}


def measure(sizes: list[int], rounds: int) -> None:
    from catalog import many

    load = os.getloadavg()[0]
    print(f"load average at the start: {load:.1f} on {os.cpu_count()} cores\n")
    head = "ms: shop + PostgreSQL = cost (wall: least, median)"
    print(f"{head:<52} {'queries':>7}")
    for size in sizes:
        began = time.perf_counter()
        many.load(size)
        took = time.perf_counter() - began
        print(f"\n{size:,} products, loaded in {took:.1f} s")
        for name, url in PAGES.items():
            print(f"{name:<26}", ask(url, rounds))
    print(f"\nload average at the end: {os.getloadavg()[0]:.1f}")


def ask(url: str, rounds: int) -> str:
    """What one page costs, as a line of the table."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(HTTP_HOST="localhost")
    url = url or last_page()
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url)
    queries = [query["sql"] for query in captured]
    assert response.status_code == 200, (url, response.status_code)
    walls, processor = [], []
    for _ in range(rounds):
        wall, busy = time.perf_counter(), time.process_time()
        client.get(url)
        processor.append((time.process_time() - busy) * 1000)
        walls.append((time.perf_counter() - wall) * 1000)
    shop, database = min(processor), sum(database_time(sql) for sql in queries)
    wall_times = f"({min(walls):.1f}, {statistics.median(walls):.1f})"
    return (
        f"{shop:>6.1f} + {database:>4.1f} = {shop + database:>5.1f} {wall_times:>16}"
        f" {len(queries):>7}"
    )


def database_time(sql: str, times: int = 7) -> float:
    """The least time PostgreSQL itself takes to plan and run a query, in ms."""
    from django.db import connection

    found = []
    with connection.cursor() as cursor:
        for _ in range(times):
            # Finished SQL, as it was sent; a percent sign in it is no placeholder.
            cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", None)
            (plan,) = cursor.fetchone()[0]
            found.append(plan["Planning Time"] + plan["Execution Time"])
    return min(found)


def last_page() -> str:
    """The address of the last page of the list by name."""
    from catalog import keyset
    from catalog.models import Product

    before = Product.objects.order_by("-name", "-pk")[24]
    cursor = keyset._write(before, "name", back=False)
    return f"/products/?cursor={cursor}"


if __name__ == "__main__":
    many_products.run(measure, about=__doc__, rounds=50)
