"""A shop of its own for a bench of pages: servers, tables, no product yet."""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def run(
    measure: Callable[[list[int], int], None], *, about: str | None, rounds: int
) -> None:
    """Call `measure` with the wanted numbers of products and of rounds.

    The servers are new, in a directory that goes away, and the tables are made, with 20
    categories and no product.
    """
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--rounds", type=int, default=rounds)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    os.environ.setdefault("SHOP_STAFF_TWO_FACTOR", "off")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        from shop import embedded

        data_dir = Path(directory)
        os.environ["DATA_DIR"] = directory
        with embedded.servers(data_dir, report=lambda sentence: None) as env:
            os.environ.update({**embedded.local_environment(data_dir), **env})
            _make_tables()
            measure(
                sorted(int(size) for size in options.sizes.split(",")), options.rounds
            )


def _make_tables() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    from catalog.models import Category

    for number in range(20):
        Category.objects.create(name=f"Shelf {number}", slug=f"shelf-{number}")
