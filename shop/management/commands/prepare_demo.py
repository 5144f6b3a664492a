"""What `manage.py demo` runs before its processes: tables and goods, in one start."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Migrate, then fill the shop if it is empty; safe to repeat."""

    help = "Bring the tables up to date and fill an empty shop (used by demo)."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        call_command("load_demo_shop", stdout=self.stdout)
