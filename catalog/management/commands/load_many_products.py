"""manage.py load_many_products N: a large catalog, to measure with."""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog import many


class Command(BaseCommand):
    """Safe to repeat: it makes only what is missing of N."""

    help = (
        "Make products (SKUs MANY-...) with stock until there are N of them. For "
        "measuring; not for a shop with customers, so elsewhere than in development "
        "and in the demo it wants --yes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("count", type=int, metavar="N", help="how many products")
        parser.add_argument(
            "--yes", action="store_true", help="this shop may have them"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["count"] < 0:
            raise CommandError("N must not be negative.")
        if not (settings.LOCAL or settings.DEMO or options["yes"]):
            raise CommandError("This may be a real shop. If it is not, say --yes.")
        began = time.monotonic()
        made = many.load(options["count"])
        seconds = time.monotonic() - began
        self.stdout.write(f"{made} products made in {seconds:.1f} s")
