"""Whether ledger, orders and running sales explain the stock rows, and the repair.

What is true, when they differ: `on_hand` is what the stock row says, because people
count it. `reserved` is what open orders hold, `allocated` what loaded sale items have
left, because these are promises to somebody. A repair is one more ledger row that
leads from what the ledger says to what is true; nothing is edited.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from django.db import connection, transaction
from django.utils.translation import gettext as _

from catalog import stock
from catalog.models import Stock
from sales.invariants import Finding, one_moment
from sales.models import FlashSaleItem, ItemState

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# What keeps PostgreSQL from overselling, whatever a program does.
GUARDS = """
SELECT conname FROM pg_constraint
WHERE contype = 'c' AND convalidated
    AND connamespace = current_schema()::text::regnamespace
    AND conname IN ('promised_lte_on_hand', 'flash_promised_lte_units')
UNION ALL
SELECT tgname FROM pg_trigger
WHERE tgenabled <> 'D' AND (tgname, tgrelid) IN (
    ('stock_movement_append_only', 'catalog_stockmovement'::regclass),
    ('flash_event_append_only', 'sales_flashevent'::regclass)
)
"""
GUARD_NAMES = (
    "flash_event_append_only",
    "flash_promised_lte_units",
    "promised_lte_on_hand",
    "stock_movement_append_only",
)
BROKEN_CHAINS = """
SELECT product.sku, step.id, step.from_status, step.to_status, step.before, stock.status
FROM (
    SELECT id, product_id, from_status, to_status,
        lag(to_status) OVER by_product AS before,
        lead(id) OVER by_product AS next_id
    FROM catalog_statuschange
    WHERE %(ids)s::bigint[] IS NULL OR product_id = ANY(%(ids)s::bigint[])
    WINDOW by_product AS (PARTITION BY product_id ORDER BY id)
) AS step
JOIN catalog_stock AS stock ON stock.product_id = step.product_id
JOIN catalog_product AS product ON product.id = step.product_id
WHERE step.from_status = step.to_status OR step.before <> step.from_status
    OR (step.next_id IS NULL AND step.to_status <> stock.status)
ORDER BY step.id
"""


DIFFERENCES = """
WITH ledger AS (
    SELECT product_id, max(id) AS last_id, sum(on_hand_delta)::bigint AS on_hand,
        sum(reserved_delta)::bigint AS reserved,
        sum(allocated_delta)::bigint AS allocated
    FROM catalog_stockmovement
    WHERE %(ids)s::bigint[] IS NULL OR product_id = ANY(%(ids)s::bigint[])
    GROUP BY product_id
), promised AS (
    SELECT line.product_id, sum(line.quantity)::bigint AS reserved
    FROM sales_order JOIN sales_orderline AS line ON line.order_id = sales_order.id
    WHERE sales_order.state IN ('held', 'paying')
    GROUP BY line.product_id
), loaded AS (
    SELECT id, product_id, "left" FROM sales_flashsaleitem
    WHERE state NOT IN ('waiting', 'settled')
), running AS (
    SELECT product_id, sum(units)::bigint AS allocated FROM (
        SELECT product_id, "left" AS units FROM loaded
        UNION ALL  -- set aside already, and not yet in the counters
        SELECT loaded.product_id, change.units_delta
        FROM sales_flashadjustment AS change JOIN loaded ON loaded.id = change.item_id
        WHERE change.units_delta > 0 AND change.applied_seq IS NULL
            AND change.refused_at IS NULL
    ) AS parts
    GROUP BY product_id
), compared AS (
    SELECT stock.product_id, product.sku, stock.on_hand, stock.reserved,
        stock.allocated, coalesce(ledger.on_hand, 0) AS ledger_on_hand,
        coalesce(ledger.reserved, 0) AS ledger_reserved,
        coalesce(ledger.allocated, 0) AS ledger_allocated,
        coalesce(promised.reserved, 0) AS promised_reserved,
        coalesce(running.allocated, 0) AS running_allocated,
        coalesce(last.id, 0) AS last_id, coalesce(last.kind, '') AS last_kind,
        coalesce(last.on_hand_after, 0) AS last_on_hand,
        coalesce(last.reserved_after, 0) AS last_reserved,
        coalesce(last.allocated_after, 0) AS last_allocated
    FROM catalog_stock AS stock
    JOIN catalog_product AS product ON product.id = stock.product_id
    LEFT JOIN ledger ON ledger.product_id = stock.product_id
    LEFT JOIN promised ON promised.product_id = stock.product_id
    LEFT JOIN running ON running.product_id = stock.product_id
    LEFT JOIN catalog_stockmovement AS last ON last.id = ledger.last_id
    WHERE %(ids)s::bigint[] IS NULL OR stock.product_id = ANY(%(ids)s::bigint[])
)
SELECT * FROM compared
WHERE (on_hand, reserved, allocated)
        <> (ledger_on_hand, ledger_reserved, ledger_allocated)
    OR (on_hand, reserved, allocated) <> (last_on_hand, last_reserved, last_allocated)
    OR (reserved, allocated) <> (promised_reserved, running_allocated)
ORDER BY product_id
"""


class Quantities(NamedTuple):
    """The three stored quantities of a product."""

    on_hand: int
    reserved: int
    allocated: int

    def __str__(self) -> str:
        return (
            f"{self.on_hand} on hand, {self.reserved} reserved, "
            f"{self.allocated} allocated"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """A product whose numbers do not explain each other."""

    product_id: int
    sku: str
    row: Quantities
    ledger: Quantities
    last: Quantities
    promised: int
    running: int
    last_id: int
    last_kind: str

    @property
    def true(self) -> Quantities:
        """What row and ledger should say; see the module's words on what is true."""
        return Quantities(self.row.on_hand, self.promised, self.running)

    @property
    def delta(self) -> Quantities:
        """What a repair adds to the ledger."""
        return Quantities(
            *(new - old for new, old in zip(self.true, self.ledger, strict=True))
        )

    @property
    def proposal(self) -> str:
        """The repair, for people who have to agree to it."""
        words = _("%(sku)s: book a repair of %(delta)s; the stock becomes %(true)s")
        if self.true == self.row:
            words = _("%(sku)s: book a repair of %(delta)s; the stock stays %(true)s")
        return words % {
            "sku": self.sku,
            "delta": _signed(self.delta),
            "true": self.true,
        }

    @property
    def obstacle(self) -> str:
        """Why it cannot be repaired, for people; empty if it can."""
        needed = self.promised + self.running
        if needed <= self.row.on_hand:
            return ""
        return _(
            "%(needed)s units are promised and %(on_hand)s are on hand: count the "
            "goods and book an adjustment, or cancel orders, then repair."
        ) % {"needed": needed, "on_hand": self.row.on_hand}

    def __str__(self) -> str:
        words = [_("%(sku)s: %(row)s") % {"sku": self.sku, "row": self.row}]
        if self.ledger != self.row:
            words.append(
                _("the ledger adds up to %(ledger)s") % {"ledger": self.ledger}
            )
        if self.promised != self.row.reserved:
            words.append(
                _("open orders hold %(promised)s") % {"promised": self.promised}
            )
        if self.running != self.row.allocated:
            words.append(
                _("running sales have %(running)s") % {"running": self.running}
            )
        words.append(
            _("the last movement, %(id)s (%(kind)s), left %(last)s")
            % {"id": self.last_id, "kind": self.last_kind, "last": self.last}
            if self.last_id
            else _("there is no movement")
        )
        return "; ".join(words)


def _signed(delta: Quantities) -> str:
    return _(
        "%(on_hand)+d on hand, %(reserved)+d reserved, %(allocated)+d allocated"
    ) % (delta._asdict())


def differences(product_ids: Collection[int] | None = None) -> list[Difference]:
    """Products that are not explained, of those named or of all; one statement.

    Exact while the shop works: every change writes the row, the ledger and the promise
    in one transaction.
    """
    ids = None if product_ids is None else list(product_ids)
    with connection.cursor() as cursor:
        cursor.execute(DIFFERENCES, {"ids": ids})
        return [
            Difference(
                product_id=row[0],
                sku=row[1],
                row=Quantities(*row[2:5]),
                ledger=Quantities(*row[5:8]),
                promised=row[8],
                running=row[9],
                last_id=row[10],
                last_kind=row[11],
                last=Quantities(*row[12:15]),
            )
            for row in cursor.fetchall()
        ]


def findings(product_ids: Collection[int] | None = None) -> list[Finding]:
    """Check the stock of the products named, or of all, in one moment."""
    with one_moment():
        return [_guards(), _chains(product_ids), _explained(product_ids)]


def _guards() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute(GUARDS)
        there = {row[0] for row in cursor.fetchall()}
    missing = [name for name in GUARD_NAMES if name not in there]
    return Finding(
        5,
        _("database"),
        not missing,
        {"guards": len(GUARD_NAMES), "in_place": len(there)},
        _("%s is missing or switched off") % missing[0] if missing else "",
        stops=False,
    )


def _chains(product_ids: Collection[int] | None) -> Finding:
    ids = None if product_ids is None else list(product_ids)
    with connection.cursor() as cursor:
        cursor.execute(BROKEN_CHAINS, {"ids": ids})
        broken = cursor.fetchall()
    first = ""
    if broken:
        names = ("sku", "id", "from", "to", "before", "status")
        words = _(
            "%(sku)s, status change %(id)s: %(from)s to %(to)s, after %(before)s; "
            "the stock is %(status)s"
        )
        first = words % dict(zip(names, broken[0], strict=True))
    numbers = {"broken": len(broken)}
    return Finding(9, _("stock"), not broken, numbers, first, stops=False)


def _explained(product_ids: Collection[int] | None) -> Finding:
    found = differences(product_ids)
    items = FlashSaleItem.objects.exclude(
        state__in=[ItemState.WAITING, ItemState.SETTLED]
    )
    ids = items.filter(product_id__in=[row.product_id for row in found])
    rows = Stock.objects.all()
    if product_ids is not None:
        rows = rows.filter(pk__in=list(product_ids))
    return Finding(
        10,
        _("stock"),
        not found,
        {"products": rows.count(), "differing": len(found)},
        str(found[0]) if found else "",
        tuple(ids.values_list("pk", flat=True)),
    )


def repair(
    product_ids: Iterable[int], *, actor: "User | None" = None, reason: str = ""
) -> tuple[list[Difference], list[Difference]]:
    """Repair what still differs; return what was repaired and what could not be.

    Each product in a transaction of its own, looked at again under its stock row's
    lock: nothing that changes the row can be half-way then.
    """
    done, refused = [], []
    for product_id in sorted(product_ids):
        with transaction.atomic():
            stock.lock([product_id])
            for found in differences([product_id]):
                if found.obstacle:
                    refused.append(found)
                    continue
                note = stock.Note(cause="audit", reason=reason, actor=actor)
                stock.repair(
                    product_id,
                    reserved=found.true.reserved,
                    allocated=found.true.allocated,
                    ledger_delta=stock.Delta(*found.delta),
                    note=note,
                )
                done.append(found)
    return done, refused
