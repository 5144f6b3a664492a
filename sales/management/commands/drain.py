"""manage.py drain: bring waiting flash-sale events into PostgreSQL by hand."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sales import sync
from sales.counters import NotLoaded, Unsure


class Command(BaseCommand):
    help = "Drain the events of all loaded flash-sale items into PostgreSQL."

    def handle(self, *args: Any, **options: Any) -> None:
        failed = 0
        for item_id in sync.loaded_items():
            try:
                drained = sync.drain(item_id)
            except (NotLoaded, Unsure) as error:
                failed += 1
                self.stderr.write(f"item {item_id}: {error}")
            else:
                self.stdout.write(f"item {item_id}: {drained} events drained")
        if failed:
            raise CommandError("Some items could not be drained; see above.")
