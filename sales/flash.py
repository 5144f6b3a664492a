"""The life of a flash sale: schedule, preload, claim, pause, end, settle.

draft -> scheduled -> loaded -> live <-> paused -> ended -> settled; draft, scheduled
and loaded -> cancelled. Each transition takes the sale's row lock, is safe to repeat,
and is logged with its actor. PostgreSQL allocates before Redis loads, and Redis stops
before PostgreSQL releases: a crash in between leaves units unsold until the next tick,
never sold twice. Opening and closing happen inside the claim script by Redis time; the
states `live` and `ended` here only follow.
"""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog import outbox, stock
from catalog.models import Stock
from sales import counters, demand, floors, invariants, sync
from sales.counters import Admitted, ClaimRefused, NotLoaded, Snapshot, Unsure
from sales.models import (
    ClaimAnswer,
    FlashSale,
    FlashSaleItem,
    ItemState,
    SaleState,
    SaleTransition,
)
from sales.orders import NotPossible

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

RUNNING = (SaleState.LOADED, SaleState.LIVE, SaleState.PAUSED)
UNLOADED = (ItemState.WAITING, ItemState.SETTLED)


@dataclass(frozen=True, slots=True)
class Preloaded:
    """What a preload did with one item; `error` says why it could not."""

    item_id: int
    sku: str
    units: int
    floor: int
    was_there: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Live:
    """An item as shoppers see it now; times are datetimes of the server's clock."""

    item_id: int
    state: str
    units: int
    left: int
    floor: int
    sellable: int
    held: int
    paying: int
    paid: int
    limit: int
    opens_at: datetime
    closes_at: datetime
    now: datetime

    @property
    def is_over(self) -> bool:
        return self.state == "ended"


# -- Transitions ------------------------------------------------------------------


@transaction.atomic
def schedule(sale_id: int, *, actor: "User | None" = None) -> FlashSale:
    """Draft -> scheduled: from now on the preload command will load it in time."""
    sale = locked(sale_id)
    if sale.state == SaleState.SCHEDULED:
        return sale
    _require(sale, SaleState.DRAFT, _("Only a draft can be scheduled."))
    if sale.closes_at <= timezone.now():
        raise NotPossible(_("This sale would be over already; choose later times."))
    if not sale.items.exists():
        raise NotPossible(_("Add at least one product before scheduling the sale."))
    sale.items.update(opens_at=sale.opens_at, closes_at=sale.closes_at)
    _move(sale, SaleState.SCHEDULED, actor)
    return sale


def preload(sale_id: int, *, actor: "User | None" = None) -> list[Preloaded]:
    """Allocate the items' units in PostgreSQL, then put them into Redis.

    Safe twice, at once, and while the sale is live: items that are loaded stay as they
    are. An item that cannot be loaded is reported in its `error`; the others go on.
    The caller opens the fence afterwards (`recovery.open_fence`).
    """
    sale = FlashSale.objects.get(pk=sale_id)
    if sale.state not in (SaleState.SCHEDULED, *RUNNING):
        raise NotPossible(
            _("Only a scheduled sale can be preloaded; this one is %(state)s.")
            % {"state": sale.get_state_display()}
        )
    outcomes = []
    for item_id in sale.items.order_by("product_id").values_list("pk", flat=True):
        outcomes.append(_preload_item(item_id))
    with transaction.atomic():
        sale = locked(sale_id)
        done = any(not outcome.error for outcome in outcomes)
        if sale.state == SaleState.SCHEDULED and done:
            _move(sale, SaleState.LOADED, actor)
        _reconcile_all(sale_id)  # loaded items are paused until here
    return outcomes


def preload_due(
    now: datetime | None = None, *, actor: "User | None" = None
) -> list[Preloaded]:
    """Preload every sale that opens within the lead time, and loaded ones again."""
    soon = (now or timezone.now()) + timedelta(
        seconds=settings.SHOP_PRELOAD_LEAD_SECONDS
    )
    due = FlashSale.objects.filter(
        state__in=[SaleState.SCHEDULED, SaleState.LOADED, SaleState.LIVE],
        opens_at__lte=soon,
        closes_at__gt=now or timezone.now(),
    )
    outcomes: list[Preloaded] = []
    for sale_id in due.order_by("opens_at", "pk").values_list("pk", flat=True):
        outcomes += preload(sale_id, actor=actor)
    return outcomes


def pause(sale_id: int, *, actor: "User | None" = None) -> FlashSale:
    """Loaded or live -> paused: nobody is admitted; payments go on. Redis first."""
    return _hold(sale_id, SaleState.PAUSED, "paused", (*RUNNING,), actor)


@transaction.atomic
def resume(sale_id: int, *, actor: "User | None" = None) -> FlashSale:
    """Paused -> live (or loaded, before it opens). PostgreSQL first."""
    sale = locked(sale_id)
    if sale.state in (SaleState.LOADED, SaleState.LIVE):
        return sale
    _require(sale, SaleState.PAUSED, _("Only a paused sale can be resumed."))
    opened = sale.opens_at <= timezone.now()
    for item in sale.items.select_for_update().filter(state=ItemState.PAUSED):
        sync.move_item(item, ItemState.LOADED, actor=actor)
    _move(sale, SaleState.LIVE if opened else SaleState.LOADED, actor)
    transaction.on_commit(lambda: _reconcile(sale_id))
    return sale


def end(sale_id: int, *, actor: "User | None" = None) -> FlashSale:
    """Loaded, live or paused -> ended, before its time; open holds may be paid."""
    return _hold(sale_id, SaleState.ENDED, "ended", (*RUNNING, SaleState.ENDED), actor)


def cancel(sale_id: int, *, actor: "User | None" = None) -> FlashSale:
    """Draft, scheduled or loaded -> cancelled; loaded units go back to the shop."""
    with transaction.atomic():
        sale = locked(sale_id)
        if sale.state == SaleState.CANCELLED:
            return sale
        states = (SaleState.DRAFT, SaleState.SCHEDULED, SaleState.LOADED)
        if sale.state not in states or (
            sale.state == SaleState.LOADED and sale.opens_at <= timezone.now()
        ):
            raise NotPossible(_("A sale that has opened can be ended, not cancelled."))
        for item in loaded(sale):
            tell(item, state="ended")
        waiting = sale.items.select_for_update().filter(state=ItemState.WAITING)
        for item in waiting:
            sync.move_item(item, ItemState.SETTLED, actor=actor)
        _move(sale, SaleState.CANCELLED, actor)
    try:
        settle(sale_id)
    except (NotLoaded, Unsure) as error:
        logger.warning("flash sale %s is settled later: %s", sale_id, error)
    return sale


def advance(now: datetime | None = None) -> list[str]:
    """Let states follow the clock: live, ended, settled; return what changed.

    Also sends what Redis has not heard, and removes keys of settled items. Each sale on
    its own: a failure of one is logged and leaves the others alone.
    """
    now = now or timezone.now()
    said: list[str] = []
    sales = FlashSale.objects.filter(
        Q(state__in=[*RUNNING, SaleState.ENDED])
        | Q(state=SaleState.CANCELLED, items__has_keys=True)
    )
    for sale_id in list(sales.order_by("pk").distinct().values_list("pk", flat=True)):
        try:
            said += _advance(sale_id, now)
        except (NotLoaded, Unsure) as error:
            logger.warning("flash sale %s waits: %s", sale_id, error)
        except Exception:
            logger.exception("flash sale %s cannot go on", sale_id)
    _delete_old_keys()
    missed = FlashSale.objects.filter(state=SaleState.SCHEDULED, closes_at__lte=now)
    for sale_id in list(missed.values_list("pk", flat=True)):
        sale = cancel(sale_id)
        said.append(f"{sale.name} is cancelled: it was never preloaded")
    return said


def settle(sale_id: int) -> bool:
    """Give what is left of an ended sale back, once; return whether it is settled.

    Waits (returns False) while holds or payments are open. The counters are frozen
    while the last look is taken, so nothing can move between the look and the return.
    """
    sale = FlashSale.objects.get(pk=sale_id)
    if sale.state not in (SaleState.ENDED, SaleState.CANCELLED, SaleState.SETTLED):
        raise NotPossible(_("Only an ended sale can be settled."))
    settled = [
        _settle_item(item_id)
        for item_id in sale.items.order_by("pk").values_list("pk", flat=True)
    ]
    if not all(settled):
        return False
    with transaction.atomic():
        sale = locked(sale_id)
        for item in sale.items.select_for_update().filter(state=ItemState.WAITING):
            sync.move_item(item, ItemState.SETTLED, note="it was never loaded")
        if sale.state == SaleState.ENDED:
            _move(sale, SaleState.SETTLED, None)
            outbox.publish("sale.settled", [{"sale": sale.slug, "name": sale.name}])
    return True


# -- Claims -----------------------------------------------------------------------

_epochs: dict[int, int] = {}


def claim(item_id: int, *, order_id: UUID, buyer: str, quantity: int) -> Admitted:
    """Take units of a flash sale for one order; decided in Redis, without a query.

    The same order id again gives the first answer. Raises ClaimRefused with its code,
    NotLoaded when Redis is lost or not verified (start recovery), Unsure when the
    answer was lost (ask again with the same order id). What was answered is counted.
    """
    try:
        admitted = _noted_claim(item_id, order_id, buyer, quantity)
    except (ClaimRefused, NotLoaded, Unsure) as error:
        demand.note(item_id, _word(error), units=quantity)
        raise
    if not admitted.replayed:
        demand.note(item_id, ClaimAnswer.ADMITTED, units=quantity)
    return admitted


def _word(error: ClaimRefused | NotLoaded | Unsure) -> str:
    if isinstance(error, ClaimRefused):
        return error.code
    lost = isinstance(error, NotLoaded)
    return ClaimAnswer.NOT_LOADED if lost else ClaimAnswer.UNSURE


def _noted_claim(item_id: int, order_id: UUID, buyer: str, quantity: int) -> Admitted:
    """The answer to a claim, in the journal if it holds units."""
    try:
        epoch, admitted = _claim(item_id, order_id, buyer, quantity)
    except NotLoaded:
        _refuse_if_not_running(item_id)
        raise
    # Repeats too: the first answer may have been lost before it was noted.
    if admitted.state == "held":
        stored = admitted.stored(buyer=buyer, quantity=quantity)
        counters.journal(item_id, order_id, stored, epoch=epoch)
    return admitted


def _claim(
    item_id: int, order_id: UUID, buyer: str, quantity: int
) -> tuple[int, Admitted]:
    """The epoch under which the claim was admitted, and the answer."""
    known = item_id in _epochs
    try:
        return _claim_once(item_id, order_id, buyer, quantity)
    except counters.WrongEpoch:
        _epochs.pop(item_id, None)
        if not known:
            raise
    return _claim_once(item_id, order_id, buyer, quantity)


def _claim_once(
    item_id: int, order_id: UUID, buyer: str, quantity: int
) -> tuple[int, Admitted]:
    epoch = _epoch(item_id)
    admitted = counters.claim(
        item_id, epoch=epoch, order_id=order_id, buyer=buyer, quantity=quantity
    )
    return epoch, admitted


def _epoch(item_id: int) -> int:
    """The item's epoch; a stale one is refused by the script and read again."""
    if item_id not in _epochs:
        _epochs[item_id] = FlashSaleItem.objects.values_list("epoch", flat=True).get(
            pk=item_id
        )
    return _epochs[item_id]


def forget_epochs() -> None:
    """Read every item's epoch again at its next claim."""
    _epochs.clear()


def _refuse_if_not_running(item_id: int) -> None:
    """No counters can also mean that the sale is not loaded yet, or over."""
    item = FlashSaleItem.objects.select_related("sale").get(pk=item_id)
    if item.state == ItemState.SETTLED or item.closes_at <= timezone.now():
        raise ClaimRefused("ended")
    if item.sale.state in (SaleState.DRAFT, SaleState.SCHEDULED, SaleState.CANCELLED):
        raise ClaimRefused("not_started", int(item.opens_at.timestamp() * 1000))


def live(item_ids: Collection[int]) -> dict[int, Live]:
    """The items as shoppers see them, from Redis alone; without those not loaded.

    Raises NotLoaded or Unsure when Redis does not answer.
    """
    return {pk: _live(pk, s) for pk, s in counters.snapshots(list(item_ids)).items()}


def _live(item_id: int, s: Snapshot) -> Live:
    return Live(
        item_id=item_id,
        state=_state_for_shoppers(s),
        units=s.units,
        left=s.left,
        floor=s.floor,
        sellable=s.sellable,
        held=s.held,
        paying=s.paying,
        paid=s.paid,
        limit=s.limit,
        opens_at=sync.moment(s.opens_at),
        closes_at=sync.moment(s.closes_at),
        now=sync.moment(s.now),
    )


def _state_for_shoppers(s: Snapshot) -> str:
    """One word: what a claim for one unit would be told now."""
    if s.state == "ended" or s.now >= s.closes_at:
        return "ended"
    if s.state == "paused":
        return "paused"
    if s.state != "open":
        return "not_loaded"
    if s.now < s.opens_at:
        return "not_started"
    if s.sellable:
        return "open"
    return "all_held" if s.left + s.held + s.paying > s.floor else "sold_out"


# -- Inside -----------------------------------------------------------------------


def locked(sale_id: int) -> FlashSale:
    """The sale, its row locked until the transaction ends."""
    # NO KEY: a line in the sale's log, written under an item's lock, need not wait.
    return FlashSale.objects.select_for_update(no_key=True).get(pk=sale_id)


def loaded(sale: FlashSale) -> Iterable[FlashSaleItem]:
    """The sale's items whose counters should be in Redis."""
    return sale.items.exclude(state__in=UNLOADED).order_by("pk")


def _require(sale: FlashSale, state: str, sentence: str) -> None:
    if sale.state != state:
        raise NotPossible(f"{sentence} ({sale.name}: {sale.get_state_display()})")


def log(
    sale: FlashSale,
    actor: "User | None",
    *,
    to_state: str = "",
    note: str = "",
    item: FlashSaleItem | None = None,
) -> None:
    """Write a line into the sale's log."""
    SaleTransition.objects.create(
        sale=sale,
        item=item,
        from_state=sale.state,
        to_state=to_state or sale.state,
        note=note,
        actor=actor,
    )


def _move(sale: FlashSale, state: SaleState, actor: "User | None") -> None:
    log(sale, actor, to_state=state)
    logger.info("flash sale %s: %s to %s", sale.pk, sale.state, state)
    sale.state = state
    sale.save(update_fields=["state"])


@transaction.atomic
def _hold(
    sale_id: int,
    state: SaleState,
    word: str,
    allowed: Collection[str],
    actor: "User | None",
) -> FlashSale:
    """Close a sale in Redis first, then in PostgreSQL, under its row lock."""
    sale = locked(sale_id)
    if sale.state == state:
        return sale
    if sale.state not in allowed:
        raise NotPossible(
            _("A sale that is %(state)s cannot be %(word)s.")
            % {"state": sale.get_state_display().lower(), "word": word}
        )
    for item in loaded(sale):
        tell(item, state=word)
    _move(sale, state, actor)
    return sale


def tell(item: FlashSaleItem, state: str = "", **changes: int) -> None:
    """Change an item in Redis; lost counters admit nobody, so they need no telling.

    Raises Unreachable or Unsure when it is not known what Redis does.
    """
    told: dict[str, Any] = {**changes, "state": state} if state else {**changes}
    try:
        counters.adjust(item.pk, epoch=item.epoch, **told)
    except counters.Unreachable:
        raise
    except NotLoaded as error:
        logger.warning("flash item %s: %s; recovery will follow", item.pk, error)


def _preload_item(item_id: int) -> Preloaded:
    try:
        item, was_there = _allocate(item_id)
    except NotPossible as error:
        item = FlashSaleItem.objects.select_related("product").get(pk=item_id)
        return Preloaded(item_id, item.product.sku, 0, 0, error=str(error))
    except stock.InsufficientStock as error:
        item = FlashSaleItem.objects.select_related("product").get(pk=item_id)
        available = error.shortages[0].sellable
        return Preloaded(
            item_id,
            item.product.sku,
            0,
            0,
            error=_("%(wanted)s units asked, %(available)s available")
            % {"wanted": item.requested_units or 1, "available": available},
        )
    sku = item.product.sku
    if item.state == ItemState.SETTLED:
        return Preloaded(item_id, sku, 0, item.floor, error=_("settled already"))
    if not item.loaded_at:
        try:
            was_there = _load(item_id) and was_there
        except (NotLoaded, Unsure, counters.StepRefused) as error:
            return Preloaded(
                item_id,
                sku,
                item.units,
                item.floor,
                error=_("Redis: %(error)s") % {"error": error},
            )
    return Preloaded(item_id, sku, item.units, item.floor, was_there)


@transaction.atomic
def _allocate(item_id: int) -> tuple[FlashSaleItem, bool]:
    """Set the units aside and fix the first counters; only once per item.

    Raises NotPossible when the sale has ended or was cancelled meanwhile.
    """
    sale_id = FlashSaleItem.objects.values_list("sale_id", flat=True).get(pk=item_id)
    sale = locked(sale_id)
    item = (
        FlashSaleItem.objects.select_for_update(of=("self",))
        .select_related("product", "sale")
        .get(pk=item_id)
    )
    if item.state != ItemState.WAITING:
        return item, True
    if sale.state not in (SaleState.SCHEDULED, *RUNNING):
        raise NotPossible(_("The sale is over."))
    row = stock.lock([item.product_id])[item.product_id]
    units = item.requested_units or max(1, row.available)
    note = stock.Note(cause=f"flash:{item.pk}", reason=item.sale.name)
    stock.allocate(item.product_id, units, note=note)
    item.units = item.left = units
    item.floor = floors.floor_of(Stock.objects.get(pk=row.pk))
    item.epoch += 1
    item.has_keys = True
    item.save()
    sync.move_item(item, ItemState.LOADED)
    return item, False


@transaction.atomic
def _load(item_id: int) -> bool:
    """Create the counters in Redis, once; return whether they were there.

    They are paused until this has committed: whoever finds `loaded_at` empty knows that
    nobody has bought yet, and that nothing of this item can be lost in Redis.
    """
    item = FlashSaleItem.objects.select_for_update().get(pk=item_id)
    if item.loaded_at or item.state != ItemState.LOADED:
        return True
    step = counters.preload(item.pk, first_counters(item, state="paused"))
    item.loaded_at = timezone.now()
    item.save(update_fields=["loaded_at"])
    logger.info("flash item %s: %s units preloaded", item.pk, item.units)
    return step.repeated


def first_counters(item: FlashSaleItem, *, state: str) -> Snapshot:
    """The item's counters in Redis's terms, as PostgreSQL has them."""
    return Snapshot(
        epoch=item.epoch,
        state=state,
        units=item.units,
        left=item.left,
        floor=item.floor,
        limit=item.limit_per_buyer,
        opens_at=sync.milliseconds(item.opens_at),
        closes_at=sync.milliseconds(item.closes_at),
        hold_ms=hold_milliseconds(),
        seq=item.last_seq,
        held=item.held,
        paying=item.paying,
        paid=item.paid,
        released=item.released,
    )


def hold_milliseconds() -> int:
    """How long a claim holds its units before it must be paid."""
    return settings.SHOP_FLASH_HOLD_SECONDS * 1000


def wanted_state(item: FlashSaleItem) -> str:
    """The word Redis should have for an item, by PostgreSQL."""
    if item.sale.state in (SaleState.ENDED, SaleState.CANCELLED, SaleState.SETTLED):
        return "ended"
    if item.sale.state == SaleState.PAUSED or item.state == ItemState.PAUSED:
        return "paused"
    return "open"


def _reconcile(sale_id: int) -> None:
    """Tell Redis a sale's state now; what fails is left to the next tick."""
    try:
        with transaction.atomic():
            locked(sale_id)
            _reconcile_all(sale_id)
    except (NotLoaded, Unsure) as error:
        logger.warning("flash sale %s: Redis is told later: %s", sale_id, error)


def _reconcile_all(sale_id: int) -> None:
    """Tell Redis what PostgreSQL has, for items that are not in doubt."""
    items = FlashSaleItem.objects.select_related("sale").filter(sale_id=sale_id)
    for item in items.filter(state__in=[ItemState.LOADED, ItemState.PAUSED]):
        tell(
            item,
            state=wanted_state(item),
            limit=item.limit_per_buyer,
            closes_at=sync.milliseconds(item.closes_at),
        )


def _advance(sale_id: int, now: datetime) -> list[str]:
    said = []
    with transaction.atomic():
        sale = locked(sale_id)
        if sale.state == SaleState.LOADED and sale.opens_at <= now:
            _move(sale, SaleState.LIVE, None)
            said.append(f"{sale.name} is live")
        if sale.state in RUNNING and sale.closes_at <= now:
            _move(sale, SaleState.ENDED, None)
            said.append(f"{sale.name} has ended")
        # Under the row lock, so that a pause or resume cannot come in between.
        _reconcile_all(sale_id)
    _heal(sale_id)
    if sale.state in (SaleState.ENDED, SaleState.CANCELLED) and settle(sale_id):
        said.append(f"{sale.name} is settled")
    return said


def _heal(sale_id: int) -> None:
    """Make good what a crash kept from Redis: floors that follow the stock."""
    items = FlashSaleItem.objects.filter(sale_id=sale_id).exclude(state__in=UNLOADED)
    if products := list(items.values_list("product_id", flat=True)):
        floors.settle(products)


def _settle_item(item_id: int) -> bool:
    item = FlashSaleItem.objects.get(pk=item_id)
    if item.state in UNLOADED:
        return True
    if item.state != ItemState.LOADED:  # in doubt
        return False
    sync.drain(item_id)
    try:
        is_settled = _give_back(item_id)
    except sync.Gap as doubt:
        sync.freeze(item_id, str(doubt))
        return False
    if is_settled:
        _delete_keys(item_id)
    return is_settled


@transaction.atomic
def _give_back(item_id: int) -> bool:
    """Return what an item has left to the shop; False while something is open.

    One at a time under the row lock, which recovery and the drain take as well. The
    last look is at frozen counters, so nothing can move between it and the return. An
    item with a violated invariant waits for somebody to put it right.
    """
    item = FlashSaleItem.objects.select_for_update().get(pk=item_id)
    if item.state == ItemState.SETTLED:
        return True
    if item.state != ItemState.LOADED:
        return False
    _close(item, "ended")  # also thaws what a crash below left frozen
    s = counters.snapshot(item_id)
    if s.held or s.paying:
        return False
    _close(item, "frozen")
    while sync.drain_locked(item):
        pass
    s = counters.snapshot(item_id)
    in_redis = (s.seq, s.left, s.held, s.paying)
    if s.state != "frozen" or in_redis != (item.last_seq, item.left, 0, 0):
        _close(item, "ended")
        return False
    if doubt := invariants.doubt(item):
        sync.move_item(item, ItemState.PAUSED, note=doubt)
        _close(item, "ended")
        return False
    # Units that were added and never reached Redis were set aside as well.
    unsent = item.adjustments.filter(applied_seq=None, refused_at=None)
    added = unsent.filter(units_delta__gt=0).aggregate(sum=Sum("units_delta"))["sum"]
    if left_over := item.left + (added or 0):
        note = stock.Note(cause=f"flash:{item.pk}", reason="left over")
        stock.deallocate(item.product_id, left_over, note=note)
    unsent.update(refused_at=timezone.now())
    item.settled_at = timezone.now()
    item.save(update_fields=["settled_at"])
    sync.move_item(item, ItemState.SETTLED)
    return True


def _close(item: FlashSaleItem, state: str) -> None:
    counters.adjust(item.pk, epoch=item.epoch, verified=item.epoch, state=state)


def _delete_old_keys() -> None:
    """Remove keys that a crash after settlement left behind."""
    old = FlashSaleItem.objects.filter(state=ItemState.SETTLED, has_keys=True)
    for item_id in list(old.values_list("pk", flat=True)):
        try:
            _delete_keys(item_id)
        except (NotLoaded, Unsure) as error:
            logger.warning("flash item %s still has keys: %s", item_id, error)


def _delete_keys(item_id: int) -> None:
    counters.delete(item_id)
    counters.drop_journal(item_id)
    FlashSaleItem.objects.filter(pk=item_id).update(has_keys=False)
