"""manage.py recover_flash_sale: verify or rebuild the live counters by hand."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sales import recovery
from sales.counters import NotLoaded, Unsure


class Command(BaseCommand):
    help = "Verify every loaded flash-sale item in Redis; rebuild those in doubt."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--force",
            action="store_true",
            help="look at items nobody doubts, too",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            recovered = (
                recovery.open_fence(force=True) if options["force"] else recovery.heal()
            )
        except (NotLoaded, Unsure) as error:
            raise CommandError(f"The sale Redis does not answer: {error}") from error
        for line in recovered:
            self.stdout.write(f"item {line.item_id}: {line.found}; {line.done}.")
        if not recovered:
            self.stdout.write("Nothing to recover: all counters are loaded and whole.")
