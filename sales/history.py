"""An item's stored events, folded again from the first: what its orders should be.

On the way each claim is held against the floor and the limit of its moment, so a claim
that took too much is found even when every counter adds up.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from sales import sync
from sales.folding import Claimed, Entry, Fold, Poison
from sales.models import FlashSaleItem

CHUNK = 5000
FIELDS = (
    "seq",
    "epoch",
    "kind",
    "at",
    "order_id",
    "buyer",
    "quantity",
    "expires_at",
    "details",
    "is_poison",
)


class History:
    """The fold of an item's events, and what was wrong with them on the way.

    `broken` names the first event that does not follow from those before it, `breach`
    the first claim that took what it may not have.
    """

    def __init__(self) -> None:
        self.fold = Fold()
        self.last_seq = 0
        self.epoch = 0
        self.loaded_at_seq = 0
        self.events = 0
        self.poison = 0
        self.broken = ""
        self.breach = ""
        self.closing_claims: set[UUID] = set()  # since the last load: took the last one
        self._limit = 0
        self._owned: Counter[str] = Counter()

    @property
    def claims(self) -> dict[UUID, Claimed]:
        return self.fold.claims

    def take(self, entry: Entry, is_poison: bool) -> None:
        """Fold one more event; poison was set aside and changes nothing."""
        self._check_order(entry, is_poison)
        self.events += 1
        self.last_seq = entry.seq
        if is_poison:
            self.poison += 1
            return
        self.epoch = entry.epoch
        flips = self.fold.flips
        try:
            self.fold.apply(entry)
        except Poison as error:
            self.broken = self.broken or str(error)
            return
        self._check_claim(entry)
        if entry.kind in ("preload", "recover"):
            self.loaded_at_seq = entry.seq
            self.closing_claims.clear()
        elif entry.kind == "claim" and self.fold.flips > flips and entry.order_id:
            self.closing_claims.add(entry.order_id)

    def _check_order(self, entry: Entry, is_poison: bool) -> None:
        """Numbers follow each other; only recovery jumps ahead, into a later epoch."""
        if self.broken:
            return
        if entry.seq <= self.last_seq or (
            entry.seq > self.last_seq + 1 and not _is_by_recovery(entry)
        ):
            self.broken = _("event %(seq)s is missing") % {"seq": self.last_seq + 1}
        elif not is_poison and not self._follows(entry.epoch, entry.kind):
            self.broken = _("event %(seq)s is of epoch %(epoch)s, after %(before)s") % {
                "seq": entry.seq,
                "epoch": entry.epoch,
                "before": self.epoch,
            }

    def _follows(self, epoch: int, kind: str) -> bool:
        if kind == "recover":
            return epoch > self.epoch
        return epoch == self.epoch or not self.epoch

    def _check_claim(self, entry: Entry) -> None:
        if "limit" in entry.details:
            self._limit = int(entry.details["limit"])
        elif entry.kind in ("claim", "reclaim"):
            self._owned[entry.buyer] += entry.quantity
            # What recovery books was admitted by a Redis that is gone.
            if not _is_by_recovery(entry):
                self._check_admission(entry)
        elif entry.kind in ("release", "refund"):
            self._owned[entry.buyer] -= entry.quantity

    def _check_admission(self, entry: Entry) -> None:
        counters, owned = self.fold.counters, self._owned[entry.buyer]
        values = {"seq": entry.seq, "order": entry.order_id, "buyer": entry.buyer}
        if counters.left < counters.floor:
            self.breach = self.breach or _(
                "event %(seq)s, order %(order)s, left %(left)s of the floor %(floor)s"
            ) % {**values, "left": counters.left, "floor": counters.floor}
        # Money that came late is let in above a limit; it was below it once.
        if owned > self._limit and entry.details.get("target") != "paying":
            self.breach = self.breach or _(
                "event %(seq)s, order %(order)s, gave %(buyer)s %(owned)s units "
                "at a limit of %(limit)s"
            ) % {**values, "owned": owned, "limit": self._limit}


def _is_by_recovery(entry: Entry) -> bool:
    return entry.kind == "recover" or entry.details.get("source") == "recovery"


def of(item: FlashSaleItem) -> History:
    """Fold all stored events of an item again, in chunks."""
    history = History()
    for entry, is_poison in _entries(item):
        history.take(entry, is_poison)
    return history


def _entries(item: FlashSaleItem) -> Iterator[tuple[Entry, bool]]:
    rows: Any = item.events.order_by("seq").values_list(*FIELDS)
    for *values, expires_at, details, is_poison in rows.iterator(chunk_size=CHUNK):
        seq, epoch, kind, at, order_id, buyer, quantity = values
        yield (
            Entry(
                seq,
                epoch,
                kind,
                sync.milliseconds(at),
                order_id,
                buyer,
                quantity,
                sync.milliseconds(expires_at) if expires_at else None,
                details,
            ),
            is_poison,
        )
