"""What the choices of the engine are worth, each as two figures of one run.

    python -m bench [--orders 10000] [--seconds 3]

Starts its own servers in a directory of its own, with the settings of the demo: both
PostgreSQL and the sale Redis have written to disk before they answer.
"""

# ruff: noqa: T201

import argparse
import logging
import os
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=10_000, help="of the flash sale")
    parser.add_argument("--seconds", type=float, default=3, help="per rate")
    options = parser.parse_args()
    if options.orders < 100 or options.seconds < 0.2:
        parser.error("take at least 100 orders and 0.2 seconds")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        from shop import embedded

        data_dir = Path(directory)
        os.environ["DATA_DIR"] = directory
        with embedded.servers(data_dir, report=lambda sentence: None) as env:
            os.environ.update({**embedded.local_environment(data_dir), **env})
            measure(options.orders, options.seconds)


def measure(orders: int, seconds: float) -> None:
    import django
    from django.core.management import call_command

    django.setup()
    logging.disable(logging.ERROR)
    call_command("migrate", verbosity=0)
    from bench import engine

    load = os.getloadavg()[0]
    print(f"load average at the start: {load:.1f} on {os.cpu_count()} cores\n")
    for row in engine.rows(orders, seconds):
        ratio = max(row.first, row.second) / min(row.first, row.second)
        print(
            f"{row.what:<28}{row.one:<20}{number(row.first):>8}   "
            f"{row.other:<20}{number(row.second):>8}{ratio:>8.1f}x",
            flush=True,
        )


def number(value: float) -> str:
    """Three digits are all that is meant."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    main()
