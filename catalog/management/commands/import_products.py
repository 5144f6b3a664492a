"""manage.py import_products: products and stock from a file, all or nothing."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog import imports
from catalog.import_plan import Change, Plan, shown

FIRST = 50  # lines of each kind that are shown without -v 2
TRIES = 3
BAD_LINES, UNUSABLE = 1, 2


class Command(BaseCommand):
    help = (
        "Import products and stock from a CSV or XLSX file: our own, Shopify's or "
        "WooCommerce's. All of it or nothing. Exit status: 0 done or nothing to do, "
        "1 bad lines, 2 the file cannot be used."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the CSV or XLSX file")
        parser.add_argument(
            "--dry-run", action="store_true", help="only report what would change"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        is_dry: bool = options["dry_run"]
        try:
            plan = _plan(path) if is_dry else _load(path)
        except OSError as error:
            raise CommandError(
                f"{path} cannot be read: {error.strerror}.", returncode=UNUSABLE
            ) from error
        except imports.UnusableFile as error:
            raise CommandError(f"{path}: {error}", returncode=UNUSABLE) from error
        except imports.PlanIsStale as error:
            raise CommandError(
                "Products of the file are being made at this moment. Nothing was "
                "imported; run the command again.",
                returncode=BAD_LINES,
            ) from error
        self.stdout.write(
            f"{plan.file_name}: {plan.file.format} file, {plan.file.encoding}, "
            f"{len(plan.file.rows)} products."
        )
        limit = None if options["verbosity"] > 1 else FIRST
        if is_dry or not plan.bad_lines:
            for line in _report(plan, limit):
                self.stdout.write(line)
        if plan.bad_lines:
            self.refuse(plan)
        self.stdout.write(_summary(plan, is_dry=is_dry))

    def refuse(self, plan: Plan) -> NoReturn:
        self.stdout.flush()
        for bad_line in plan.bad_lines:
            self.stderr.write(str(bad_line))
        number = len(plan.bad_lines)
        raise CommandError(
            f"{number} bad {'line' if number == 1 else 'lines'}: nothing was imported. "
            "Correct the file, then run the command again.",
            returncode=BAD_LINES,
        )


def _plan(path: Path) -> Plan:
    with path.open("rb") as file:
        return imports.plan(file)


def _load(path: Path) -> Plan:
    """Import the file; a product that others make meanwhile is worth another try."""
    for attempt in range(1, TRIES + 1):
        try:
            with path.open("rb") as file:
                return imports.load(file).plan
        except imports.ImportRefused as refusal:
            return refusal.plan
        except imports.PlanIsStale:
            if attempt == TRIES:
                raise
    raise AssertionError("every try returns or raises")


def _report(plan: Plan, limit: int | None) -> Iterator[str]:
    yield from _section("New:", map(_creation, plan.created), limit)
    yield from _section("Changed:", map(_change, plan.changed), limit)
    notices = (f"line {notice.line}: {notice.text}" for notice in plan.notices)
    yield from _section("Please note:", notices, limit)


def _section(title: str, lines: Iterable[str], limit: int | None) -> Iterator[str]:
    lines = iter(lines)
    for number, line in enumerate(islice(lines, limit)):
        if number == 0:
            yield title
        yield f"  {line}"
    if more := sum(1 for _ in lines):
        yield f"  and {more} more; -v 2 shows all."


def _creation(change: Change) -> str:
    values = change.values
    return (
        f"line {change.line}: {change.sku}, {change.name}: "
        f"price {shown(values['price'])}, on_hand {values.get('on_hand', 0)}"
    )


def _change(change: Change) -> str:
    fields = "; ".join(map(str, change.fields))
    return f"line {change.line}: {change.sku}: {fields}"


def _summary(plan: Plan, *, is_dry: bool) -> str:
    if not plan.changes:
        return f"No change: all {plan.unchanged} products are as in the file."
    counts = (
        f"{len(plan.created)} created, {len(plan.changed)} changed, "
        f"{plan.unchanged} unchanged; on hand {plan.on_hand_delta:+d} units."
    )
    return f"Nothing was written. It would be: {counts}" if is_dry else counts
