"""Claims and buyers in Redis beside those of PostgreSQL, while the sale goes on."""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from django.utils.translation import gettext as _

from sales import counters, sync
from sales.counters import Snapshot, StoredClaim
from sales.folding import HELD, PAID, PAYING, Claimed
from sales.models import FlashSaleItem

Claims = dict[UUID, Claimed]
OWNING = (HELD, PAYING, PAID)
CHUNK = 5000


class Claimants:
    """Claims and buyers in Redis, beside what the events say they should be.

    They are read while the sale goes on: what moves meanwhile is left out.
    """

    def __init__(self, item: FlashSaleItem, s: Snapshot, here: Claims) -> None:
        """`here` are the claims at the snapshot. Raises ValueError on a bad claim."""
        self.item = item
        self.here = here
        self.there: dict[UUID, StoredClaim] = dict(counters.claims(item.pk))
        self.buyers = counters.buyers(item.pk)
        self._moved_orders: set[UUID] = set()
        self._moved_buyers: set[str] = set()
        self._read_moved(s.seq)

    def differences(self) -> list[str]:
        """Sentences about claims that differ, the earliest first, then buyers."""
        return [*self._claims(), *self._owners()]

    def lost(self, noted: Iterable[UUID]) -> list[UUID]:
        """Those of the ids that neither side has."""
        return [pk for pk in noted if pk not in self.here and pk not in self.there]

    def _claims(self) -> list[str]:
        both = self.here.keys() | self.there.keys()
        found = []
        for order_id in both - self._moved_orders:
            here, there = self.here.get(order_id), self.there.get(order_id)
            if difference := _difference(there, here):
                known = here or there
                seq = known.seq if known else 0
                found.append((seq, str(order_id), difference))
        words = _("order %(order)s (event %(seq)s) %(difference)s")
        return [
            words % {"order": order_id, "seq": seq, "difference": difference}
            for seq, order_id, difference in sorted(found)
        ]

    def _owners(self) -> list[str]:
        owned: Counter[str] = Counter()
        for claimed in self.here.values():
            if claimed.state in OWNING:
                owned[claimed.buyer] += claimed.quantity
        words = _(
            "buyer %(buyer)s owns %(there)s units in Redis, %(here)s by the events"
        )
        return [
            words % {"buyer": b, "there": self.buyers.get(b, 0), "here": owned[b]}
            for b in sorted((owned.keys() | self.buyers.keys()) - self._moved_buyers)
            if self.buyers.get(b, 0) != owned[b]
        ]

    def _read_moved(self, after: int) -> None:
        last = counters.snapshot(self.item.pk).seq
        while after < last:
            chunk = counters.events(self.item.pk, after=after, limit=CHUNK)
            if not chunk:
                return
            for event in chunk:
                entry, is_poison = sync.parse(event)
                if not is_poison and entry.order_id:
                    self._moved_orders.add(entry.order_id)
                    self._moved_buyers.add(entry.buyer)
            after = chunk[-1].seq


def _difference(there: StoredClaim | None, here: Claimed | None) -> str:
    if here is None:
        return _("is in Redis only")
    if there is None:
        return _("is missing in Redis")
    for name in ("state", "buyer", "quantity", "expires_at", "seq"):
        if getattr(there, name) != getattr(here, name):
            words = _("has %(name)s %(there)s in Redis, %(here)s by the events")
            return words % {
                "name": name,
                "there": getattr(there, name),
                "here": getattr(here, name),
            }
    return ""
