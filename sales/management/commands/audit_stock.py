"""manage.py audit_stock: do all numbers explain each other; repair of the ledger."""

import json
from itertools import groupby
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from sales import audit, ledger
from sales.audit import Report
from sales.invariants import Finding
from sales.models import FlashSaleItem, Verdict

MARKS = {True: "holds", False: "VIOLATED", None: "not checked"}
STATUS = {Verdict.HOLDS: 0, Verdict.DRIFT: 1, Verdict.UNKNOWN: 2}


class Command(BaseCommand):
    help = (
        "Check every invariant of flash sales, orders, stock and ledger, while the "
        "shop goes on. Exit status 0: everything holds; 1: something does not; 2: "
        "something could not be checked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print plain values")
        parser.add_argument(
            "--repair",
            action="store_true",
            help="propose ledger entries that explain the stock again",
        )
        parser.add_argument(
            "--yes", action="store_true", help="with --repair: book what is proposed"
        )
        parser.add_argument(
            "--resume",
            type=int,
            metavar="ITEM",
            help="let a flash-sale item go on that the audit has paused",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["yes"] and not options["repair"]:
            raise CommandError("--yes says yes to --repair; give both.", returncode=2)
        if options["resume"] is not None:
            self._resume(options["resume"])
            return
        try:
            self._audit(options)
        except OperationalError as error:
            reason = str(error).partition("\n")[0]
            raise CommandError(
                f"Nothing could be checked: {reason}", returncode=2
            ) from error

    def _audit(self, options: dict[str, Any]) -> None:
        report = audit.look(audit.every_item())
        lines: list[str] = []
        if options["repair"]:
            lines = self._repair(report, agreed=options["yes"])
            if options["yes"]:
                report = audit.look(audit.every_item())
        if options["json"]:
            told = {**report.as_json(), **({"repair": lines} if lines else {})}
            self.stdout.write(json.dumps(told, indent=2))
        else:
            self._print(report)
            for line in lines:
                self.stdout.write(line)
        if report.verdict != Verdict.HOLDS:
            raise CommandError(_summary(report), returncode=STATUS[report.verdict])
        if not options["json"]:
            self.stdout.write(_summary(report))

    def _resume(self, item_id: int) -> None:
        item = FlashSaleItem.objects.filter(pk=item_id).first()
        if item is None or not audit.resume_item(item_id):
            raise CommandError(f"Item {item_id} is not paused by the audit.")
        self.stdout.write(
            f"Item {item_id} goes on. It was paused because of: {item.doubt}"
        )

    def _print(self, report: Report) -> None:
        for subject, findings in groupby(report.findings, lambda f: f.subject):
            self.stdout.write(subject)
            for finding in findings:
                self._print_finding(finding)
            self.stdout.write("")

    def _print_finding(self, finding: Finding) -> None:
        mark = f"{finding.invariant:>4}  {MARKS[finding.holds]:<11} "
        style = self.style.ERROR if finding.holds is False else str
        self.stdout.write(style(mark) + finding.sentence)
        if finding.numbers:
            pairs = finding.numbers.items()
            numbers = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in pairs)
            self.stdout.write(" " * 18 + numbers)
        if finding.first_difference:
            self.stdout.write(style(" " * 18 + finding.first_difference))

    def _repair(self, report: Report, *, agreed: bool) -> list[str]:
        """Propose, or book, what the ledger lacks; return what to say about it."""
        possible, impossible = audit.repairs(report)
        lines = [f"{sku}: not repaired: {why}" for sku, why in impossible.items()]
        if agreed:
            done, refused = ledger.repair(
                [found.product_id for found in possible], reason="audit_stock --repair"
            )
            lines += [f"Booked. {found.proposal}" for found in done]
            lines += [
                f"{found.sku}: not repaired: {found.obstacle}" for found in refused
            ]
            return lines or ["Nothing to repair: the ledger explains every product."]
        lines += [found.proposal for found in possible]
        if possible:
            lines.append(
                "Nothing was changed. To book this: audit_stock --repair --yes"
            )
        return lines or ["Nothing to repair: the ledger explains every product."]


def _summary(report: Report) -> str:
    count, seconds = len(report.findings), report.seconds
    if report.verdict == Verdict.HOLDS:
        return f"Everything holds: {count} checks in {seconds:.2f} s."
    if report.verdict == Verdict.DRIFT:
        return f"{len(report.violations)} of {count} checks do not hold; see above."
    return "Not everything could be checked; see above."
