"""Server time of the catalog's pages as the number of products grows.

    python -m bench.catalog_pages [--sizes 1000,10000,100000] [--rounds 30]

Starts its own servers in a directory of its own, loads the products, and asks for each
page through Django's whole stack, without a network. The least time is what the page
costs; how far the median is above it says how busy the machine was with other things.
"""

# ruff: noqa: T201

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    sizes = sorted(int(size) for size in options.sizes.split(","))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        from shop import embedded

        data_dir = Path(directory)
        os.environ["DATA_DIR"] = directory
        with embedded.servers(data_dir, report=lambda sentence: None) as env:
            os.environ.update({**embedded.local_environment(data_dir), **env})
            measure(sizes, options.rounds)


def measure(sizes: list[int], rounds: int) -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    from catalog import many
    from catalog.models import Category

    for number in range(20):
        Category.objects.create(name=f"Shelf {number}", slug=f"shelf-{number}")
    load = os.getloadavg()[0]
    print(f"load average at the start: {load:.1f} on {os.cpu_count()} cores\n")
    print(f"{'ms: least / median of ' + str(rounds):<28} {'queries':>7}", end="")
    print("".join(f"{size:>18,}" for size in sizes))
    columns = []
    for size in sizes:
        began = time.perf_counter()
        many.load(size)
        took = time.perf_counter() - began
        columns.append((took, {name: ask(url, rounds) for name, url in PAGES.items()}))
    for name in PAGES:
        queries = max(found[name][2] for _, found in columns)
        cells = (f"{found[name][0]:.1f} / {found[name][1]:.1f}" for _, found in columns)
        print(f"{name:<28} {queries:>7}", "".join(f"{cell:>18}" for cell in cells))
    seconds = "".join(f"{took:>17.1f}s" for took, _ in columns)
    print(f"{'(products loaded in)':<36} {seconds}")


def ask(url: str, rounds: int) -> tuple[float, float, int]:
    """Least and median time in ms, and the number of queries."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(HTTP_HOST="localhost")
    url = url or last_page()
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url)
    queries = len(captured)  # the next request forgets them
    assert response.status_code == 200, (url, response.status_code)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        client.get(url)
        times.append((time.perf_counter() - began) * 1000)
    return min(times), statistics.median(times), queries


def last_page() -> str:
    """The address of the last page of the list by name."""
    from catalog import keyset
    from catalog.models import Product

    before = Product.objects.order_by("-name", "-pk")[24]
    cursor = keyset._write(before, "name", back=False)
    return f"/products/?cursor={cursor}"


if __name__ == "__main__":
    main()
