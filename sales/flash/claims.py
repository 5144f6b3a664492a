"""What shoppers do with a live sale: take units of it, and see what is left."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from django.utils import timezone

from sales import counters, demand, rooms, sync
from sales.counters import Admitted, ClaimRefused, Note, NotLoaded, Snapshot, Unsure
from sales.models import ClaimAnswer, FlashSaleItem, ItemState, SaleState


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
    waiting: int  # units the waiting list wants
    opens_at: datetime
    closes_at: datetime
    now: datetime
    has_room: bool = False  # only who was let into the waiting room may claim

    @property
    def is_over(self) -> bool:
        return self.state == "ended"


OUTSIDE = "waiting_room"  # the refusal of who has not been let in

_epochs: dict[int, int] = {}
_sales: dict[int, int] = {}


def claim(item_id: int, *, order_id: UUID, buyer: str, quantity: int) -> Admitted:
    """Take units of a flash sale for one order; decided in Redis, without a query.

    The same order id again gives the first answer. While the sale has a waiting room
    only who was let in is admitted. Raises ClaimRefused with its code, NotLoaded when
    Redis is lost or not verified (start recovery), Unsure when the answer was lost (ask
    again with the same order id). What was answered is counted.
    """
    ask = partial(_noted_claim, item_id, order_id, buyer, quantity)
    return counted(item_id, ask, units=quantity)


def counted(item_id: int, ask: Callable[[], Admitted], *, units: int) -> Admitted:
    """What a claim is answered, counted as demand: admitted or why not, no repeats."""
    try:
        admitted = ask()
    except (ClaimRefused, NotLoaded, Unsure) as error:
        demand.note(item_id, _word(error), units=units)
        raise
    if not admitted.replayed:
        demand.note(item_id, ClaimAnswer.ADMITTED, units=units)
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
    note: Note | None
    if admitted.replayed:  # the first answer may have been lost before it was noted
        note = counters.look_up(item_id, order_id)
    else:
        note = Note(admitted.stored(buyer=buyer, quantity=quantity), admitted.seq)
    if note is not None and note.claim.state == "held":
        counters.journal(item_id, order_id, note, epoch=epoch)
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
    ask = partial(
        counters.claim,
        item_id,
        epoch=epoch,
        order_id=order_id,
        buyer=buyer,
        quantity=quantity,
    )
    try:
        return epoch, ask()
    except ClaimRefused as refusal:
        if refusal.code != OUTSIDE or not may_enter(item_id, buyer):
            raise
    return epoch, ask(inside=True)


def may_enter(item_id: int, buyer: str) -> bool:
    """Whether the waiting room of the item's sale has let the buyer in; no query.

    Raises NotLoaded when the room does not answer: then nobody is let in.
    """
    return rooms.is_inside(sale_of(item_id), buyer)


def sale_of(item_id: int) -> int:
    """The id of the item's sale."""
    if item_id not in _sales:
        _read(item_id)
    return _sales[item_id]


def _epoch(item_id: int) -> int:
    """The item's epoch; a stale one is refused by the script and read again."""
    if item_id not in _epochs:
        _read(item_id)
    return _epochs[item_id]


def _read(item_id: int) -> None:
    found = FlashSaleItem.objects.values_list("epoch", "sale_id").get(pk=item_id)
    _epochs[item_id], _sales[item_id] = found


def forget_epochs() -> None:
    """Read every item's epoch again at its next claim."""
    _epochs.clear()
    _sales.clear()


def _refuse_if_not_running(item_id: int) -> None:
    """No counters can also mean that it is too early for the sale, or that it is over.

    One whose time has come, but not its units, is about to be loaded: nothing is
    refused then.
    """
    item = FlashSaleItem.objects.select_related("sale").get(pk=item_id)
    now, state = timezone.now(), item.sale.state
    is_over = item.state == ItemState.SETTLED or item.closes_at <= now
    if is_over or state == SaleState.CANCELLED:
        raise ClaimRefused("ended")
    if item.opens_at > now and state in (SaleState.DRAFT, SaleState.SCHEDULED):
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
        waiting=s.waiting,
        opens_at=sync.moment(s.opens_at),
        closes_at=sync.moment(s.closes_at),
        now=sync.moment(s.now),
        has_room=s.state == "room",
    )


def _state_for_shoppers(s: Snapshot) -> str:
    """One word: what a claim for one unit would be told now."""
    if s.state == "ended" or s.now >= s.closes_at:
        return "ended"
    if s.state == "paused":
        return "paused"
    if s.state not in ("open", "room"):
        return "not_loaded"
    if s.now < s.opens_at:
        return "not_started"
    if s.sellable:
        return "open"
    return "all_held" if s.left + s.held + s.paying > s.floor else "sold_out"
