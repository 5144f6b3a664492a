"""What changing the whole catalog costs, beside what PostgreSQL needs for its rows.

    python -m bench.bulk [--sizes 10000,100000] [--rounds 1]

Starts its own servers in a directory of its own, loads the products, and gives all of
them one rule: the preview, the change, its undoing. Then a file with a line for each:
the report, the import, the import again, and as many products that are new. Figures are
processor time, of Python and its PostgreSQL process, which depends little on what else
the machine does; the clock stands beside it. The ratio is to a bare `UPDATE` of every
stock row in the same run, which no way of doing it
can avoid. `--rounds` repeats the rule.
"""

# ruff: noqa: T201

import os
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

from bench import many_products
from bench.stock_desk import processor_time

SHELVES = 20


def measure(sizes: list[int], rounds: int) -> None:
    from catalog import many

    load = os.getloadavg()[0]
    print(f"load average at the start: {load:.1f} on {os.cpu_count()} cores")
    for size in sizes:
        many.load(size)
        head = f"{size:,} products"
        print(f"\n{head:<32}{'cpu s':>8}{'clock s':>9}{'ratio':>8}")
        for _ in range(rounds):
            measure_rule(size)
        measure_file(size)
    print(f"\nload average at the end: {os.getloadavg()[0]:.1f}")


def measure_rule(size: int) -> None:
    """One rule for all products."""
    from catalog import levels, thresholds
    from catalog.models import Stock

    ids = list(Stock.objects.values_list("pk", flat=True)[:size])
    rule = levels.Rule("safety_threshold", levels.Operation.PERCENT, 20)
    bare = timed("bare UPDATE of every row", update_all)[0]
    mark = timed("rule: preview", lambda: levels.plan(ids, rule).mark, bare)[1]
    change = partial(levels.apply, ids, rule, mark=mark)
    batch = timed("rule: change", change, bare)[1]
    timed("rule: undo", partial(thresholds.undo, batch), bare)


def measure_file(size: int) -> None:
    """A line for every product, and then for as many that are new."""
    from catalog import imports
    from catalog.many import PREFIX

    bare = timed("bare UPDATE of every row", update_all)[0]
    known, new = lines(size, PREFIX), lines(size, f"NEW{size}-")
    timed("file: report", partial(imports.plan, BytesIO(known)), bare)
    timed("file: every product changed", partial(imports.load, BytesIO(known)), bare)
    timed("file: nothing changed", partial(imports.load, BytesIO(known)), bare)
    timed("file: every product new", partial(imports.load, BytesIO(new)), bare)


def lines(size: int, prefix: str) -> bytes:
    """A file of our own with a price, a count, a level and a category for each."""
    head = "sku,name,price,on_hand,safety_threshold,category,vendor,description"
    rows = (
        f"{prefix}{n:07},Thing {n},{10 + n % 50}.50,{n % 90},{n % 7},"
        f"Shelf {n % SHELVES},Vendor {n % 7},A thing of which there are many"
        for n in range(size)
    )
    return "\n".join([head, *rows]).encode()


def update_all() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("UPDATE catalog_stock SET version = version + 1")


def timed(
    what: str, work: Callable[[], Any], bare: float | None = None
) -> tuple[float, Any]:
    """Print what the work costs, beside the bare UPDATE; the cost and its result."""
    from django.db import connection

    clock, busy = time.perf_counter(), processor_time(connection)
    result = work()
    busy = processor_time(connection) - busy
    clock = time.perf_counter() - clock
    ratio = f"{busy / bare:>7.1f}x" if bare else ""
    print(f"{what:<32}{busy:>8.2f}{clock:>9.1f}{ratio}", flush=True)
    return busy, result


if __name__ == "__main__":
    many_products.run(measure, about=__doc__, rounds=1)
