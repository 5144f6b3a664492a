"""manage.py race: who sells more than there is, and how fast is it."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from sales import race
from sales.counters import NotLoaded, Unsure
from sales.race import Outcome, RaceFailed

HEAD = (
    f"{'way':<22}{'races':>7}{'offered':>9}{'sold':>8}{'oversold':>10}"
    f"{'worst race':>12}{'orders/s':>10}{'p99 ms':>9}"
)


class Command(BaseCommand):
    help = (
        "Let buyers race for a few units in six ways, side by side, on this database "
        "and this sale Redis, with tables and keys of its own that are removed again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--buyers", type=int, default=50, help="per race")
        parser.add_argument("--units", type=int, default=5, help="per race")
        parser.add_argument("--seconds", type=float, default=3, help="for each way")
        parser.add_argument("--json", action="store_true", help="print plain values")

    def handle(self, *args: Any, **options: Any) -> None:
        buyers, units, seconds = (options[n] for n in ("buyers", "units", "seconds"))
        _check(buyers, units, seconds)
        outcomes: list[Outcome] = []
        if not options["json"]:
            self.stdout.write(_introduction(buyers, units, seconds))
        try:
            for outcome in race.run(buyers=buyers, units=units, seconds=seconds):
                outcomes.append(outcome)
                if not options["json"]:
                    self._print(outcome)
        except RaceFailed as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"PostgreSQL refuses the race: {error}") from error
        except (NotLoaded, Unsure) as error:
            raise CommandError(f"The sale Redis does not answer: {error}") from error
        if options["json"]:
            told = [outcome.as_json() for outcome in outcomes]
            self.stdout.write(json.dumps(told, indent=2))
        else:
            self.stdout.write(_conclusion(outcomes))

    def _print(self, o: Outcome) -> None:
        style = self.style.ERROR if o.oversold else self.style.SUCCESS
        self.stdout.write(
            f"{o.way:<22}{o.races:>7,}{o.offered:>9,}{o.sold:>8,}"
            + style(f"{o.oversold:>10,}")
            + f"{o.worst_race:>12,}{o.orders_per_second:>10,.0f}{o.p99_ms:>9.1f}"
        )


def _check(buyers: int, units: int, seconds: float) -> None:
    """Raise CommandError with a sentence unless the numbers make a race."""
    if not 2 <= buyers <= 10_000:
        raise CommandError("--buyers must be from 2 to 10000.")
    if not 1 <= units < buyers:
        raise CommandError(
            "--units must be at least 1 and less than --buyers: if everybody can have "
            "one, there is no race."
        )
    if not 0.1 <= seconds <= 600:
        raise CommandError("--seconds must be from 0.1 to 600.")


def _introduction(buyers: int, units: int, seconds: float) -> str:
    return (
        f"{buyers} buyers race for {units} units, again and again: "
        f"{race.PROCESSES} processes with {min(race.THREADS, -(-buyers // 2))} threads "
        f"each.\nHalf of {seconds:g} s for races, half for orders from a stock without "
        f"end.\n\n{HEAD}"
    )


def _conclusion(outcomes: list[Outcome]) -> str:
    worst = max(outcomes, key=lambda o: o.oversold)
    units = worst.offered // worst.races
    if not worst.oversold:
        return "\nNobody oversold this time; that was luck. Try more --seconds."
    return (
        f"\n{worst.way.capitalize()}: {worst.sold:,} orders for {worst.offered:,} "
        f"units; in the worst race {worst.worst_race} orders for {units}."
    )
