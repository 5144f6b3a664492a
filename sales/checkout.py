"""From an order to money and back, the same for regular and flash orders.

The one entrance for pages, API and jobs: it looks at the order's channel and calls
`orders` (decided in PostgreSQL) or the counters (decided in Redis, drained later). The
provider's word is stored first, then the order follows it; a crash in between is made
good by `follow_payments`.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from catalog import alerts, stock
from catalog.models import AlertKind
from sales import counters, flash, mails, orders, payments, sync
from sales.counters import ClaimRefused, Code, NotLoaded, StepRefused, Unsure
from sales.folding import Entry
from sales.models import (
    FlashSaleItem,
    ItemState,
    MailKind,
    Order,
    OrderState,
    Payment,
    PaymentState,
)
from sales.orders import Contact, NotPossible
from sales.payments.notice import OPENING, Notice, Refused, Unreachable

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

OUTCOMES = (PaymentState.PAID, PaymentState.DECLINED)
FOLLOW_SECONDS = 25  # of each kind; the job has 120


@dataclass(frozen=True, slots=True)
class Pending:
    """A claim that Redis has decided and that is not in PostgreSQL yet."""

    order_id: UUID
    item_id: int
    buyer: str
    state: str
    quantity: int
    expires_at: datetime


def order_for_shopper(order_id: UUID) -> Order | Pending | None:
    """The order with its true state now, or its claim if it is not recorded yet.

    A flash order's state is read from Redis while the sale's counters are there, so
    the shopper never sees a state that is behind. Raises NotLoaded or Unsure only when
    there is neither a row nor a Redis to ask.
    """
    order = (
        Order.objects.select_related("flash_item__sale", "flash_item__product")
        .prefetch_related("lines__product")
        .filter(pk=order_id)
        .first()
    )
    if order is None:
        return _pending(order_id)
    item = order.flash_item
    if item is not None and item.has_keys and order.claim_id:
        try:
            stored = counters.find(item.pk, order.claim_id)
        except (NotLoaded, Unsure):
            stored = None
        if stored is not None:
            order.state = stored.state
            order.expires_at = sync.moment(stored.expires_at)
    return order


def record(order_id: UUID) -> Order:
    """The order's row; a claim that is still in the stream is drained first.

    Raises Order.DoesNotExist, NotPossible while it cannot be drained yet, NotLoaded or
    Unsure.
    """
    order = Order.objects.filter(pk=order_id).first()
    if order is None and (pending := _pending(order_id)):
        order = _drained(pending)
    if order is None:
        raise Order.DoesNotExist(order_id)
    return order


def _drained(pending: Pending) -> Order:
    """The row of a claim in the stream; waits a moment for whoever drains it now."""
    deadline = monotonic() + 1
    while monotonic() < deadline:
        drained = sync.drain(pending.item_id, budget=timedelta(seconds=1))
        order = Order.objects.filter(pk=pending.order_id).first()
        if order is not None:
            return order
        if not drained:
            sleep(0.02)
    raise NotPossible(_("Your order is being recorded; please try again in a moment."))


def set_contact(
    order_id: UUID, contact: Contact, *, user: "User | None" = None
) -> None:
    """Store who receives an order that is still open; touches nothing else."""
    fields: dict[str, object] = dict(asdict(contact), language=get_language() or "")
    if user is not None:
        fields["user"] = user
    Order.objects.filter(pk=order_id).update(**fields)


def begin_payment(order_id: UUID) -> Payment:
    """Make sure expiry cannot take the units, and return the payment to be made.

    Two clicks share one payment. The payment is noted before Redis is asked, so that
    no claim can stay in payment without one. Raises NotPossible with a sentence when
    the hold is over, Order.DoesNotExist, NotLoaded or Unsure.
    """
    order = record(order_id)
    with transaction.atomic():
        if not order.is_flash:
            orders.begin_payment(order.pk)
        Order.objects.select_for_update(of=("self",)).get(pk=order.pk)
        payment, created = Payment.objects.get_or_create(
            order=order,
            state=PaymentState.PENDING,
            defaults={
                "gateway": payments.default().name,
                "amount": order.total,
                "currency": order.currency,
            },
        )
    if order.is_flash:
        try:
            _begin_flash(order)
        except NotPossible:
            if created:
                payment.delete()
            raise
    return payment


def payment_url(payment: Payment) -> str:
    """Where the shopper pays."""
    return payments.gateway_of(payment).start(payment)


def open_page(payment: Payment) -> str:
    """The provider's own page for a pending payment; repeats give the same page.

    That it is being opened is noted first, so that a page whose address was lost is
    found again and closed. Raises NotPossible with a sentence, or Unreachable.
    """
    mine = Payment.objects.filter(pk=payment.pk, state=PaymentState.PENDING)
    mine.filter(reference="").update(reference=OPENING)
    payment.refresh_from_db()
    if payment.state != PaymentState.PENDING:
        raise NotPossible(_("This payment has ended."))
    try:
        page = payments.gateway_of(payment).open(payment)
    except Refused as error:
        logger.error("payment %s is refused: %s", payment.pk, error)
        raise NotPossible(
            _("The payment provider does not take this payment; please write to us.")
        ) from error
    mine.update(reference=page.reference)
    return page.url


def ask(payment: Payment, *, close: bool = False) -> None:
    """Ask the provider about a pending payment and do what it says.

    With `close` this is the final word: the provider's page is shut, so that no money
    can come later. Raises Unreachable, and then nothing has changed.
    """
    if payment.state == PaymentState.PENDING:
        said = payments.gateway_of(payment).ask(payment, close=close)
        hear(payment.pk, said)


def hear(payment_id: UUID, said: Notice) -> str:
    """Do what a provider says of a payment; returns why not, where a person must look.

    Money in another amount or currency than the order's confirms nothing: it goes back,
    and the shop is alerted. Safe to repeat, in any order.
    """
    if said.outcome not in OUTCOMES:
        return ""
    payment = Payment.objects.get(pk=payment_id)
    came, due = (said.amount, said.currency), (payment.amount, payment.currency)
    if said.outcome == PaymentState.DECLINED or came == due:
        finish(payment_id, said.outcome, reference=said.reference)
        return ""
    doubt = f"{said.amount} {said.currency} came, not {due[0]} {due[1]}"
    logger.error("payment %s: %s", payment_id, doubt)
    _alert(payment, doubt)
    _refuse(payment_id, reference=said.reference, note=f"{doubt}: money sent back")
    return doubt


def _refuse(payment_id: UUID, *, reference: str, note: str) -> None:
    """Send back what came for a payment that was not paid as it should be."""
    with transaction.atomic():
        payment = Payment.objects.select_for_update().get(pk=payment_id)
        if payment.state not in (PaymentState.PENDING, PaymentState.DECLINED):
            return
        payment.state = PaymentState.REFUNDED
        payment.reference = reference or payment.reference
        payment.note = note[:200]
        payment.handled_at = None
        payment.save()
        mails.line_up(MailKind.SENT_BACK, [payment.order])
    _follow_now(payment)


def _alert(payment: Payment, doubt: str) -> None:
    text = _("Payment of order %(number)s: %(doubt)s.") % {
        "number": payment.order.number,
        "doubt": doubt,
    }
    alerts.raise_once(AlertKind.PAYMENT, text, cause=f"payment:{payment.pk}")


def finish(payment_id: UUID, outcome: str, *, reference: str = "") -> Payment:
    """Store the provider's word ("paid" or "declined"), then let the order follow.

    The first word counts, except that money that comes after a decline is money. Safe
    to repeat; when Redis cannot be asked, `follow_payments` does the rest later.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"not an outcome: {outcome!r}")
    with transaction.atomic():
        payment = Payment.objects.select_for_update().get(pk=payment_id)
        late = payment.state == PaymentState.DECLINED and outcome == PaymentState.PAID
        if payment.state == PaymentState.PENDING or late:
            payment.state = outcome
            payment.reference = reference or payment.reference
            payment.handled_at = None
            payment.save()
            logger.info("payment %s: %s", payment.pk, outcome)
    _follow_now(payment)
    return payment


def _follow_now(payment: Payment) -> None:
    try:
        follow(payment)
    except (NotLoaded, Unsure) as error:
        logger.warning("payment %s: its order follows later: %s", payment.pk, error)


def follow(payment: Payment) -> None:
    """Bring the order to where the payment's outcome says; safe to repeat.

    Decided under the order's lock, so that two followers cannot decide differently, and
    stored before money is sent back. Raises NotLoaded or Unsure when Redis cannot be
    asked; nothing is lost then.
    """
    if payment.handled_at or payment.state == PaymentState.PENDING:
        return
    with transaction.atomic():
        rows = Order.objects.select_for_update(of=("self",), no_key=True)
        order = rows.get(pk=payment.order_id)
        now = Payment.objects.select_for_update().get(pk=payment.pk)
        if not now.handled_at:
            if now.state == PaymentState.PAID and (note := _take(order, now)):
                now.state, now.note = PaymentState.REFUNDED, note
                mails.line_up(MailKind.SENT_BACK, [order])
            elif now.state != PaymentState.PAID:
                _release_declined(order)
            if now.state != PaymentState.REFUNDED:
                now.handled_at = timezone.now()
            now.save(update_fields=["state", "note", "handled_at"])
    if now.state == PaymentState.REFUNDED and not now.handled_at:
        _send_back(now)
    payment.refresh_from_db()


def _take(order: Order, payment: Payment) -> str:
    """Make the order PAID with this payment, or say why its money goes back."""
    others = order.payments.filter(state=PaymentState.PAID).exclude(pk=payment.pk)
    if others.filter(handled_at__isnull=False).exists():
        return "paid twice: money sent back"
    if _confirm_flash(order) if order.is_flash else _confirm_regular(order):
        return ""
    return "paid too late, nothing left: money sent back"


def _send_back(payment: Payment) -> None:
    """Send a payment's money back, and note first that it is to go.

    While the provider cannot be asked, `follow_payments` tries again; when it refuses,
    the shop is alerted.
    """
    Payment.objects.filter(pk=payment.pk, state=PaymentState.PAID).update(
        state=PaymentState.REFUNDED, handled_at=None
    )
    try:
        payments.gateway_of(payment).refund(payment)
    except Unreachable as error:
        logger.warning("payment %s: its money goes back later: %s", payment.pk, error)
        return
    except Refused as error:
        logger.error("payment %s: %s", payment.pk, error)
        _alert(payment, _("the money could not be sent back (%s)") % error)
        return
    Payment.objects.filter(pk=payment.pk).update(handled_at=timezone.now())


def follow_payments(now: datetime) -> int:
    """Finish what a crash or a lost Redis left open; return how many payments moved.

    One bad payment, or one sale that waits for its recovery, does not stop the others.
    """
    waiting = Payment.objects.filter(handled_at=None).exclude(
        state=PaymentState.PENDING
    )
    owed = Payment.objects.filter(
        state=PaymentState.PAID, order__state=OrderState.REFUNDED
    )
    old = now - timedelta(seconds=settings.SHOP_PAYING_SECONDS)
    silent = Payment.objects.filter(state=PaymentState.PENDING, created_at__lt=old)
    moved = _each(waiting, follow)
    moved += _each(owed, _send_back)
    moved += _each(silent, lambda payment: ask(payment, close=True))
    return moved + _release_forgotten(old)


def _release_forgotten(old: datetime) -> int:
    """Release flash orders that are in payment with nobody paying; a safety net."""
    alive = Payment.objects.filter(
        order=OuterRef("pk"), state__in=[PaymentState.PENDING, PaymentState.PAID]
    )
    forgotten = Order.objects.filter(
        ~Exists(alive),
        state=OrderState.PAYING,
        flash_item__has_keys=True,
        expires_at__lt=old,
    )
    released = 0
    for order in forgotten:
        try:
            _release_declined(order)
            released += 1
        except (NotLoaded, Unsure) as error:
            logger.warning("order %s waits: %s", order.pk, error)
    return released


def _each(found: QuerySet[Payment], step: Callable[[Payment], object]) -> int:
    """Take the step with each payment, oldest first; return with how many it went.

    Stops after a while, as each call to a provider that is down takes its time.
    """
    moved = 0
    deadline = time.monotonic() + FOLLOW_SECONDS
    for payment in found.order_by("created_at").iterator(chunk_size=500):
        if time.monotonic() > deadline:
            break
        try:
            step(payment)
            moved += 1
        except (NotLoaded, Unsure, Unreachable) as error:
            logger.warning("payment %s waits: %s", payment.pk, error)
        except Exception:
            logger.exception("payment %s cannot be followed", payment.pk)
    return moved


def cancel(order_id: UUID, *, actor: "User | None" = None) -> None:
    """Give an unpaid order's units back at once. Safe to repeat.

    Raises NotPossible once payment has begun.
    """
    order = Order.objects.filter(pk=order_id).first()
    if order is not None and not order.is_flash:
        orders.cancel(order_id, actor=actor)
        return
    item, claim_id = _claim_of(order_id, order)
    try:
        counters.release(
            item.pk, epoch=item.epoch, order_id=claim_id, reason="cancelled"
        )
    except StepRefused as error:
        if error.code is Code.UNKNOWN:
            raise Order.DoesNotExist(order_id) from error
        raise NotPossible(
            _("Payment has begun; this order can be refunded, not cancelled.")
        ) from error
    _note(item, claim_id, OrderState.CANCELLED)


def claim_again(order_id: UUID) -> counters.Admitted:
    """Hold the units of an expired or cancelled flash order once more.

    Raises ClaimRefused with its code, NotPossible for a refunded order.
    """
    item, claim_id = _claim_of(order_id, Order.objects.filter(pk=order_id).first())
    try:
        admitted = counters.reclaim(
            item.pk, epoch=item.epoch, order_id=claim_id, target="held"
        )
    except StepRefused as error:
        raise NotPossible(_("This order cannot be held again.")) from error
    _note(item, claim_id, OrderState.HELD)
    return admitted


class NotChanged(Exception):
    """A claim could not be changed; `is_kept` says whether the old one still holds."""

    def __init__(self, refusal: ClaimRefused, *, is_kept: bool) -> None:
        self.refusal = refusal
        self.is_kept = is_kept
        super().__init__(refusal.code)


def change_claim(
    item_id: int, old_id: UUID, *, order_id: UUID, buyer: str, quantity: int
) -> counters.Admitted:
    """Give an unpaid claim back and claim another quantity under a new order id.

    What cannot succeed is refused before anything is given back. In between, somebody
    else may take the units: then the old claim is held again if that is possible.
    Raises NotChanged, NotPossible once payment has begun, NotLoaded or Unsure.
    """
    _refuse_hopeless(item_id, old_id, quantity)
    cancel(old_id)
    try:
        return flash.claim(item_id, order_id=order_id, buyer=buyer, quantity=quantity)
    except ClaimRefused as refusal:
        try:
            claim_again(old_id)
        except (ClaimRefused, NotPossible):
            raise NotChanged(refusal, is_kept=False) from refusal
        raise NotChanged(refusal, is_kept=True) from refusal


def refund(
    order_id: UUID, *, restock: bool, actor: "User | None" = None, note: str = ""
) -> Order:
    """Send the money of a paid order back; with `restock` its units can be sold again.

    Raises NotPossible for an order that is not paid. Safe to repeat.
    """
    order = Order.objects.get(pk=order_id)
    if order.is_flash:
        _refund_flash(order, restock=restock, actor=actor, note=note)
    else:
        orders.refund(order_id, restock=restock, actor=actor, note=note)
    order.refresh_from_db()
    if order.state == OrderState.REFUNDED:  # else the next tick sends it
        for payment in Payment.objects.filter(order=order, state=PaymentState.PAID):
            _send_back(payment)
    return order


def expire_due(now: datetime, *, limit: int = 1000) -> int:
    """Release flash holds that are due by PostgreSQL's time; Redis decides each.

    At most `limit` of each item, so that one that cannot go on does not stop the
    others; nor does one bad row. Returns how many were released.
    """
    due = Order.objects.due(now).filter(flash_item__has_keys=True)
    released = 0
    for item_id in list(due.order_by().values_list("flash_item", flat=True).distinct()):
        item = FlashSaleItem.objects.get(pk=item_id)
        rows = due.filter(flash_item=item, claim_id__isnull=False)
        claim_ids = rows.order_by("expires_at").values_list("claim_id", flat=True)
        try:
            released += _expire(item, [pk for pk in claim_ids[:limit] if pk])
        except (NotLoaded, Unsure) as error:
            logger.warning("flash item %s: expiry waits: %s", item.pk, error)
    return released


def _expire(item: FlashSaleItem, claim_ids: Sequence[UUID]) -> int:
    answers = counters.release_many(
        item.pk, epoch=item.epoch, order_ids=claim_ids, reason="expired"
    )
    released = 0
    for claim_id, answer in zip(claim_ids, answers, strict=True):
        if isinstance(answer, counters.Step):
            released += not answer.repeated
        elif not isinstance(answer, StepRefused):
            logger.error("claim %s cannot expire: %s", claim_id, answer)
    return released


# -- Inside -----------------------------------------------------------------------


def _refuse_hopeless(item_id: int, old_id: UUID, quantity: int) -> None:
    """Raise NotChanged if the item cannot give that many, the old claim's included."""
    live = flash.live([item_id]).get(item_id)
    old = counters.find(item_id, old_id)
    if live is None or old is None or old.state != OrderState.HELD:
        return
    most = live.sellable + old.quantity
    refusal = None
    if live.state not in ("open", "all_held", "sold_out"):
        refusal = ClaimRefused(live.state)
    elif quantity > live.limit:
        refusal = ClaimRefused("limit_reached", live.limit - old.quantity)
    elif quantity > most:
        refusal = ClaimRefused("sold_out", most)
    if refusal is not None:
        raise NotChanged(refusal, is_kept=True)


def _pending(order_id: UUID) -> Pending | None:
    """A claim of that id in any loaded item.

    Raises NotLoaded when it is in none, and some item cannot be asked.
    """
    doubt = None
    for item_id in sync.loaded_items():
        try:
            stored = counters.find(item_id, order_id)
        except NotLoaded as error:
            doubt = error
            continue
        if stored is not None:
            return Pending(
                order_id,
                item_id,
                stored.buyer,
                stored.state,
                stored.quantity,
                sync.moment(stored.expires_at),
            )
    if doubt is not None:
        raise doubt
    return None


def _claim_of(order_id: UUID, order: Order | None) -> tuple[FlashSaleItem, UUID]:
    """The item and claim id of a flash order, recorded or not."""
    if order is not None and order.flash_item_id and order.claim_id:
        return FlashSaleItem.objects.get(pk=order.flash_item_id), order.claim_id
    pending = _pending(order_id)
    if pending is None:
        raise Order.DoesNotExist(order_id)
    return FlashSaleItem.objects.get(pk=pending.item_id), order_id


def _note(item: FlashSaleItem, claim_id: UUID, state: str) -> None:
    """Note a claim's new state for recovery, before its buyer is told of it."""
    stored = counters.find(item.pk, claim_id)
    if stored is not None and stored.state == state:
        counters.journal(item.pk, claim_id, stored, epoch=item.epoch)


def _begin_flash(order: Order) -> None:
    item, claim_id = _claim_of(order.pk, order)
    try:
        step = counters.begin_payment(item.pk, epoch=item.epoch, order_id=claim_id)
    except StepRefused as error:
        raise NotPossible(
            _("The hold on this order has ended; try to claim it again.")
        ) from error
    if step.state == OrderState.PAID:
        raise NotPossible(_("This order is paid already."))


def _confirm_regular(order: Order) -> bool:
    """Make a regular order PAID; False when its units are gone."""
    try:
        orders.take_for_payment(order.pk)
        orders.confirm(order.pk)
    except (stock.InsufficientStock, NotPossible):
        return False
    return True


def _confirm_flash(order: Order) -> bool:
    """Make a flash order PAID; False when its units are gone or the sale is settled."""
    item, claim_id = _claim_of(order.pk, order)
    if not item.has_keys or item.state == ItemState.SETTLED:
        return order.state == OrderState.PAID
    for _round in range(5):  # each step may meet an expiry or a cancel
        try:
            counters.confirm(item.pk, epoch=item.epoch, order_id=claim_id)
            return True
        except StepRefused as error:
            if error.code is Code.UNKNOWN:
                raise NotLoaded(f"Redis lost claim {claim_id}") from error
            state = error.detail
        if state == OrderState.REFUNDED or not _take_for_payment(item, claim_id, state):
            return False
    raise NotLoaded(f"claim {claim_id} does not come to rest")


def _take_for_payment(item: FlashSaleItem, claim_id: UUID, state: str) -> bool:
    """Bring a claim nearer to PAYING, for money that is there; False if it cannot."""
    epoch = item.epoch
    try:
        if state == OrderState.HELD:
            counters.begin_payment(item.pk, epoch=epoch, order_id=claim_id)
        else:
            counters.reclaim(item.pk, epoch=epoch, order_id=claim_id, target="paying")
    except ClaimRefused:
        return False
    except StepRefused as error:
        if error.code is Code.HOLD_ENDED:
            with suppress(StepRefused):
                counters.release(
                    item.pk, epoch=epoch, order_id=claim_id, reason="expired"
                )
    return True


def _release_declined(order: Order) -> None:
    """Give the units back, unless another payment of the order may still come."""
    alive = order.payments.filter(state__in=[PaymentState.PENDING, PaymentState.PAID])
    if alive.exists():
        return
    if not order.is_flash:
        orders.release_payment(order.pk, note="payment declined")
        return
    item, claim_id = _claim_of(order.pk, order)
    if item.has_keys:
        try:
            counters.release(
                item.pk, epoch=item.epoch, order_id=claim_id, reason="declined"
            )
        except StepRefused as error:
            logger.info("order %s: nothing to release: %s", order.pk, error)


def _refund_flash(
    order: Order, *, restock: bool, actor: "User | None", note: str
) -> None:
    item, claim_id = _claim_of(order.pk, order)
    if item.state == ItemState.SETTLED:
        _refund_settled(item.pk, order.pk, restock=restock)
    else:
        try:
            counters.refund(
                item.pk, epoch=item.epoch, order_id=claim_id, restock=restock
            )
        except StepRefused as error:
            raise NotPossible(_("Only a paid order can be refunded.")) from error
        sync.drain(item.pk, budget=timedelta(seconds=1))
    order.refresh_from_db()
    orders.log(order, note=note or "refunded", actor=actor)


@transaction.atomic
def _refund_settled(item_id: int, order_id: UUID, *, restock: bool) -> None:
    """Refund after settlement: PostgreSQL decides, and writes the event itself."""
    item = FlashSaleItem.objects.select_for_update().get(pk=item_id)
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.state == OrderState.REFUNDED:
        return
    if order.state != OrderState.PAID or order.claim_id is None:
        raise NotPossible(_("Only a paid order can be refunded."))
    claimed = sync.claims_of(item, [order.claim_id])[order.claim_id]
    entry = Entry(
        seq=item.last_seq + 1,
        epoch=item.epoch,
        kind="refund",
        at=sync.milliseconds(timezone.now()),
        order_id=order.claim_id,
        buyer=claimed.buyer,
        quantity=claimed.quantity,
        details={"restock": str(int(restock))},
    )
    sync.record(item, [(entry, False)])
