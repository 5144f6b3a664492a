"""manage.py preload_flash_sales: what cron or a timer calls before sales open."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sales import flash, recovery
from sales.counters import NotLoaded, Unsure


class Command(BaseCommand):
    help = (
        "Put the products of flash sales that open soon into Redis. Safe to run twice, "
        "at once, and during a live sale. Exit status 1 if something was not loaded."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            outcomes = flash.preload_due()
            recovered = recovery.open_fence()
        except (NotLoaded, Unsure) as error:
            raise CommandError(f"The sale Redis does not answer: {error}") from error
        for line in recovered:
            self.stdout.write(f"item {line.item_id}: {line.found}; {line.done}")
        for outcome in outcomes:
            if outcome.error:
                self.stderr.write(f"{outcome.sku}: not preloaded: {outcome.error}")
            elif outcome.was_there:
                self.stdout.write(f"{outcome.sku}: was loaded already")
            else:
                self.stdout.write(
                    f"{outcome.sku}: {outcome.units} units preloaded, "
                    f"{outcome.floor} of them safety stock"
                )
        if not outcomes:
            self.stdout.write("No flash sale is due.")
        failed = sum(bool(outcome.error) for outcome in outcomes)
        if failed:
            raise CommandError(f"{failed} of {len(outcomes)} products are not loaded.")
