"""The invariants, looked at while sales run: the verdict, and what follows from it.

A violation pauses its item, in Redis first, and is logged as an error. What cannot be
checked now (Redis does not answer, keys are missing) is no violation: nobody can claim
then, and recovery is on its way.
"""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from sales import counters, flash, invariants, ledger, sync
from sales.counters import NotLoaded, StepRefused, Unsure
from sales.invariants import Finding
from sales.ledger import Difference
from sales.models import (
    AuditRun,
    FlashEvent,
    FlashSale,
    FlashSaleItem,
    ItemState,
    Verdict,
)

logger = logging.getLogger(__name__)

KEEP = timedelta(days=1)
KEEP_DRIFT = timedelta(days=90)
IN_REDIS = {1, 2, 4, 7}  # what a rebuild from PostgreSQL puts right
SMALL = 20_000  # events; folding them again takes less than a second


@dataclass(frozen=True, slots=True)
class Report:
    """What one look found."""

    findings: Sequence[Finding]
    at: datetime
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """Drift if anything does not hold, else unknown if anything was not checked."""
        if self.violations:
            return Verdict.DRIFT
        unknown = any(finding.holds is None for finding in self.findings)
        return Verdict.UNKNOWN if unknown else Verdict.HOLDS

    @property
    def violations(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.holds is False]

    def as_json(self) -> dict[str, Any]:
        """The report as plain values: what is stored, shown and answered."""
        return {
            "verdict": self.verdict.value,
            "at": self.at.isoformat(),
            "seconds": round(self.seconds, 3),
            "findings": [finding.as_json() for finding in self.findings],
        }


def look(
    item_ids: Collection[int] | None = None,
    product_ids: Collection[int] | None = None,
    *,
    deep: bool | None = True,
) -> Report:
    """Check items and products, by default all loaded items and all products.

    Deep folds all events of an item again; None does so while they are few. Changes
    nothing and stops nobody. One item that cannot be checked is reported and does not
    keep the others from being checked.
    """
    at, start = timezone.now(), time.monotonic()
    if item_ids is None:
        item_ids = sync.loaded_items()
    findings: list[Finding] = []
    for item_id in item_ids:
        findings += _attempt(item_id, deep=deep)
    findings += ledger.findings(product_ids)
    return Report(findings, at, time.monotonic() - start)


def of_sale(sale_id: int) -> Report:
    """Check one sale's items and their products. Raises FlashSale.DoesNotExist."""
    sale = FlashSale.objects.get(pk=sale_id)
    items = list(sale.items.order_by("pk").values_list("pk", "product_id"))
    return look([pk for pk, _p in items], [product for _pk, product in items])


def every_item() -> list[int]:
    """Items that were ever loaded, settled ones included."""
    items = FlashSaleItem.objects.exclude(state=ItemState.WAITING)
    return list(items.order_by("pk").values_list("pk", flat=True))


def run(*, deep: bool | None = True, pause: bool = True) -> AuditRun:
    """Look at everything that is loaded, act on it, and store the verdict.

    With `pause`, an item with a violation that selling could make worse is paused, and
    one that was paused goes on when everything holds again. Safe at any time and twice
    at once.
    """
    report = look(deep=deep)
    for finding in report.violations:
        logger.error("%s", finding.line)
        if pause and finding.stops:
            for item_id in finding.item_ids:
                pause_item(item_id, finding.line)
    if pause:
        for item_id in _sound(report):
            resume_item(item_id, note="everything holds again")
    stored = AuditRun.objects.create(
        verdict=report.verdict, is_deep=deep is True, result=report.as_json()
    )
    _forget_old(report.at)
    return stored


def to_rebuild(run: AuditRun) -> dict[int, str]:
    """Items whose Redis is wrong and PostgreSQL sound, each with what was found."""
    found: dict[int, str] = {}
    unsound: set[int] = set()
    for finding in run.violations:
        if finding["invariant"] in IN_REDIS and finding["stops"]:
            for item_id in finding["item_ids"]:
                found.setdefault(item_id, finding["line"])
        elif finding["invariant"] != 3:
            unsound.update(finding["item_ids"])
    return {pk: line for pk, line in found.items() if pk not in unsound}


def repairs(report: Report) -> tuple[list[Difference], dict[str, str]]:
    """Products whose ledger can be repaired now, and sentences on those that cannot.

    What an item's own orders and counters are in doubt about is no truth to book.
    """
    possible, impossible = [], {}
    doubtful = _products_in_doubt(report)
    for found in ledger.differences():
        if found.product_id in doubtful:
            impossible[found.sku] = _(
                "its flash-sale item differs from its own events; put that right first"
            )
        elif found.obstacle:
            impossible[found.sku] = found.obstacle
        else:
            possible.append(found)
    return possible, impossible


def latest() -> AuditRun | None:
    """The last stored verdict, for the dashboard."""
    return AuditRun.objects.order_by("-pk").first()


def verdict_on(run: AuditRun, item_ids: Collection[int]) -> Verdict:
    """What a run found of these items alone; unknown if it did not look at them."""
    wanted = set(item_ids)
    found = [f["holds"] for f in run.result["findings"] if wanted & {*f["item_ids"]}]
    if False in found:
        return Verdict.DRIFT
    return Verdict.HOLDS if found and None not in found else Verdict.UNKNOWN


@transaction.atomic
def pause_item(item_id: int, why: str) -> bool:
    """Stop an item that is in doubt; return whether that was needed.

    What somebody has let go on before is not stopped for the same reason again.
    PostgreSQL commits after Redis was told, under the sale's lock, so that no tick
    opens the item in between.
    """
    if invariants.is_known(item_id, why):
        return False
    return _move(item_id, ItemState.LOADED, ItemState.PAUSED, why)


@transaction.atomic
def resume_item(item_id: int, *, note: str = invariants.LET_GO_ON) -> bool:
    """Let an item go on that the audit has paused; return whether it was paused."""
    return _move(item_id, ItemState.PAUSED, ItemState.LOADED, note)


def _move(item_id: int, before: str, after: str, note: str) -> bool:
    sale_id = FlashSaleItem.objects.values_list("sale_id", flat=True).get(pk=item_id)
    flash.locked(sale_id)
    items = FlashSaleItem.objects.select_related("sale").select_for_update(of=("self",))
    item = items.get(pk=item_id)
    if item.state != before:
        return False
    sync.move_item(item, after, note=note)
    try:
        counters.adjust(item_id, epoch=item.epoch, state=flash.wanted_state(item))
    except (NotLoaded, StepRefused, Unsure) as error:
        logger.warning("flash item %s: %s; the next tick will say it", item_id, error)
    logger.warning("flash item %s is %s: %s", item_id, after, note)
    return True


def _sound(report: Report) -> list[int]:
    """Paused items that were looked at closely and of which everything holds."""
    close = {pk for f in report.findings if f.invariant == 7 for pk in f.item_ids}
    bad = {pk for f in report.findings if f.holds is not True for pk in f.item_ids}
    paused = FlashSaleItem.objects.filter(pk__in=close - bad, state=ItemState.PAUSED)
    return list(paused.values_list("pk", flat=True))


def _attempt(item_id: int, *, deep: bool | None) -> list[Finding]:
    try:
        if deep is None:
            deep = FlashEvent.objects.filter(item=item_id)[: SMALL + 1].count() <= SMALL
        return invariants.of_item(item_id, deep=deep)
    except FlashSaleItem.DoesNotExist:
        return []
    except (DatabaseError, ValueError, KeyError) as error:
        logger.exception("flash item %s cannot be audited", item_id)
        subject = _("item %s") % item_id
        return [Finding(6, subject, None, {}, str(error), (item_id,))]


def _products_in_doubt(report: Report) -> set[int]:
    items = {pk for f in report.violations if f.invariant == 6 for pk in f.item_ids}
    rows = FlashSaleItem.objects.filter(pk__in=items)
    return set(rows.values_list("product_id", flat=True))


def _forget_old(now: datetime) -> None:
    """Keep a day of clean verdicts and a season of violations."""
    old = AuditRun.objects.filter(created_at__lt=now - KEEP)
    old.exclude(verdict=Verdict.DRIFT).delete()
    old.filter(created_at__lt=now - KEEP_DRIFT).delete()
