"""Regular orders, decided in PostgreSQL: place, pay, cancel, expire, refund.

HELD -> PAYING -> PAID -> REFUNDED; HELD -> EXPIRED | CANCELLED; PAYING -> CANCELLED on
the provider's final word. Each step is a compare-and-set on the locked order row
together with its stock movement, so repeats and races change nothing. Rows are taken
in one order everywhere: the order first, then stock by product.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, transaction
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from catalog import outbox, stock
from catalog.models import Product
from sales import mails
from sales.models import MailKind, Order, OrderEvent, OrderLine, OrderState

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

PUBLISHED: dict[str, str] = {
    OrderState.PAID: "order.paid",
    OrderState.EXPIRED: "order.expired",
}
MAILED: dict[str, MailKind] = {
    OrderState.PAID: MailKind.PAID,
    OrderState.EXPIRED: MailKind.EXPIRED,
    OrderState.REFUNDED: MailKind.REFUNDED,
}


class OrderConflict(Exception):
    """The order id is known already, with other lines or another buyer."""


class EmptyOrder(Exception):
    """There is nothing to order."""


class NotPossible(Exception):
    """The order's state does not allow this step; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Who receives the goods, and where."""

    email: str
    full_name: str = ""
    address: str = ""
    postal_code: str = ""
    city: str = ""
    country: str = ""


def place(
    order_id: UUID,
    lines: Iterable[tuple[int, int]],
    *,
    contact: Contact,
    user: "User | None" = None,
    buyer: str = "",
) -> Order:
    """Hold units for an order for SHOP_HOLD_SECONDS; `lines` are (product id, units).

    Lines of one product are summed before the check. All lines are held or none.
    The same id with the same content returns the first order again.
    Raises InsufficientStock with every short line, EmptyOrder, OrderConflict.
    """
    quantities = _summed(lines)
    with transaction.atomic():
        order, created = Order.objects.get_or_create(
            pk=order_id,
            defaults={
                "user": user,
                "buyer": buyer,
                "language": get_language() or "",
                "expires_at": timezone.now()
                + timedelta(seconds=settings.SHOP_HOLD_SECONDS),
                **asdict(contact),
            },
        )
        if not created:
            return _same(order, quantities, contact)
        stock.reserve(quantities, note=_note(order))
        products = Product.objects.published().in_bulk(list(quantities))
        if len(products) < len(quantities):
            gone = [pk for pk in quantities if pk not in products]
            raise stock.InsufficientStock(
                [stock.Shortage(pk, quantities[pk], 0) for pk in gone]
            )
        rows = [
            OrderLine(
                order=order,
                product=products[pk],
                sku=products[pk].sku,
                name=products[pk].name,
                quantity=quantity,
                price=products[pk].price,
            )
            for pk, quantity in sorted(quantities.items())
        ]
        OrderLine.objects.bulk_create(rows)
        order.total = sum((row.total for row in rows), start=order.total)
        order.save(update_fields=["total"])
        log(order)
    return order


def begin_payment(order_id: UUID, *, now: datetime | None = None) -> Order:
    """HELD -> PAYING: from here on expiry cannot take the units. Safe to repeat.

    Raises NotPossible when the hold is over.
    """
    with transaction.atomic():
        order = _locked(order_id)
        if order.state == OrderState.PAYING:
            return order
        if order.state == OrderState.PAID:
            raise NotPossible(_("This order is paid already."))
        if order.state != OrderState.HELD or order.expires_at <= (
            now or timezone.now()
        ):
            raise NotPossible(_("The hold on this order has ended; order again."))
        _move(order, OrderState.PAYING)
    return order


def confirm(order_id: UUID) -> Order:
    """PAYING -> PAID: the units leave the shelf. Always works from PAYING, repeatable.

    Raises NotPossible from any other state: the caller refunds or places again.
    """
    with transaction.atomic():
        order = _locked(order_id)
        if order.state == OrderState.PAID:
            return order
        if order.state != OrderState.PAYING:
            raise NotPossible(_("This order is no longer waiting for a payment."))
        stock.ship(_quantities(order), note=_note(order))
        order.paid_at = timezone.now()
        _move(order, OrderState.PAID)
    return order


def take_for_payment(order_id: UUID) -> Order:
    """HELD, EXPIRED or CANCELLED -> PAYING, for money that is there, if units are left.

    Does nothing to an order in another state. Raises InsufficientStock when the units
    of a closed order are gone: then the money goes back.
    """
    with transaction.atomic():
        order = _locked(order_id)
        if order.state == OrderState.HELD:
            _move(order, OrderState.PAYING)
        elif order.state in (OrderState.EXPIRED, OrderState.CANCELLED):
            stock.reserve(_quantities(order), note=_note(order))
            order.closed_at = None
            _move(order, OrderState.PAYING, note="paid late, held again")
    return order


def release_payment(order_id: UUID, *, note: str = "") -> Order:
    """PAYING -> CANCELLED, on the provider's final word that no money comes."""
    with transaction.atomic():
        order = _locked(order_id)
        if order.state == OrderState.PAYING:
            _close(order, OrderState.CANCELLED, note=note)
    return order


def cancel(order_id: UUID, *, actor: "User | None" = None) -> Order:
    """HELD -> CANCELLED at the shopper's or merchant's word. Safe to repeat.

    Raises NotPossible once payment has begun.
    """
    with transaction.atomic():
        order = _locked(order_id)
        if order.state == OrderState.HELD:
            _close(order, OrderState.CANCELLED, actor=actor)
        elif order.state in (OrderState.PAYING, OrderState.PAID):
            raise NotPossible(
                _("Payment has begun; this order can be refunded, not cancelled.")
            )
    return order


def refund(
    order_id: UUID, *, restock: bool, actor: "User | None" = None, note: str = ""
) -> Order:
    """PAID -> REFUNDED; with `restock` the units go back on the shelf."""
    with transaction.atomic():
        order = _locked(order_id)
        if order.state == OrderState.REFUNDED:
            return order
        if order.state != OrderState.PAID:
            raise NotPossible(_("Only a paid order can be refunded."))
        if restock:
            stock.take_back(_quantities(order), note=_note(order, actor))
        order.closed_at = timezone.now()
        _move(order, OrderState.REFUNDED, actor=actor, note=note)
    return order


def expire_due(now: datetime, *, limit: int = 1000) -> int:
    """Release the holds that have ended, all in one transaction; return how many.

    Rows locked by somebody else are left for the next run. A bad row is found by
    halving, logged, and does not stop the others.
    """
    due = Order.objects.due(now).filter(flash_item=None).order_by("expires_at")
    return _expire(list(due.values_list("pk", flat=True)[:limit]), now)


def _expire(order_ids: Sequence[UUID], now: datetime) -> int:
    if not order_ids:
        return 0
    try:
        return _expire_together(order_ids, now)
    except OperationalError:  # the database's failure, not a row's
        raise
    except Exception:
        if len(order_ids) == 1:
            logger.exception("order %s: cannot expire", order_ids[0])
            return 0
    middle = len(order_ids) // 2
    return _expire(order_ids[:middle], now) + _expire(order_ids[middle:], now)


@transaction.atomic
def _expire_together(order_ids: Sequence[UUID], now: datetime) -> int:
    rows = Order.objects.select_for_update(skip_locked=True).due(now)
    due = list(rows.filter(pk__in=order_ids).order_by("pk"))
    quantities: dict[UUID, dict[int, int]] = {order.pk: {} for order in due}
    lines = OrderLine.objects.filter(order__in=due)
    for order_id, product_id, quantity in lines.values_list(
        "order", "product", "quantity"
    ):
        quantities[order_id][product_id] = quantity
    stock.release_many([(quantities[order.pk], _note(order)) for order in due])
    closed_at = timezone.now()
    for order in due:
        order.state, order.closed_at = OrderState.EXPIRED, closed_at
        logger.info("order %s: %s", order.pk, order.state)
    Order.objects.filter(pk__in=[order.pk for order in due]).update(
        state=OrderState.EXPIRED, closed_at=closed_at
    )
    OrderEvent.objects.bulk_create(
        [OrderEvent(order=order, state=order.state) for order in due]
    )
    mails.line_up(MailKind.EXPIRED, due)
    outbox.publish(PUBLISHED[OrderState.EXPIRED], [published(o) for o in due])
    return len(due)


@transaction.atomic
def mail_again(order_id: UUID, *, after: int, actor: "User | None" = None) -> bool:
    """Mail the shopper once more where the order stands; a later tick sends it.

    `after` is the order's latest mail as the caller saw it (0: none). If there is a
    newer one by now, this is a second click and nothing happens: False. Raises
    NotPossible when there is nobody to write to, or nothing to say.
    """
    order = Order.objects.select_for_update(of=("self",), no_key=True).get(pk=order_id)
    if not order.email:
        raise NotPossible(_("This order has no e-mail address yet."))
    kind = MAILED.get(order.state)
    if kind is None:
        raise NotPossible(_("There is no mail about an order in this state."))
    if latest_mail(order) > after:
        return False
    mails.line_up(kind, [order])
    note = _("“%(mail)s” mailed again to %(email)s") % {
        "mail": kind.label,
        "email": order.email,
    }
    OrderEvent.objects.create(
        order=order, state=order.state, note=note[:200], actor=actor
    )
    logger.info("order %s: its %s mail is lined up again", order.pk, kind)
    return True


def latest_mail(order: Order) -> int:
    """The number of the order's newest mail; 0 without one."""
    latest = order.mails.order_by("-pk").values_list("pk", flat=True).first()
    return latest or 0


def log(order: Order, *, note: str = "", actor: "User | None" = None) -> None:
    """Write the order's present state into its timeline."""
    OrderEvent.objects.create(order=order, state=order.state, note=note, actor=actor)
    if kind := PUBLISHED.get(order.state):
        outbox.publish(kind, [published(order)])
    logger.info("order %s: %s", order.pk, order.state)


def published(order: Order) -> dict[str, object]:
    """What other systems are told about an order."""
    return {
        "order_id": str(order.pk),
        "state": str(order.state),
        "total": f"{order.total:.2f}",
        "currency": order.currency,
        "channel": "flash" if order.is_flash else "regular",
    }


def _summed(lines: Iterable[tuple[int, int]]) -> dict[int, int]:
    quantities: dict[int, int] = {}
    for product_id, quantity in lines:
        stock.check_quantity(quantity)
        quantities[product_id] = quantities.get(product_id, 0) + quantity
    if not quantities:
        raise EmptyOrder
    return quantities


def _same(order: Order, quantities: Mapping[int, int], contact: Contact) -> Order:
    if (
        order.is_flash
        or _quantities(order) != quantities
        or order.email != contact.email
    ):
        raise OrderConflict(order.pk)
    return order


def _locked(order_id: UUID) -> Order:
    return Order.objects.select_for_update().get(pk=order_id, flash_item=None)


def _quantities(order: Order) -> dict[int, int]:
    return dict(order.lines.values_list("product_id", "quantity"))


def _note(order: Order, actor: "User | None" = None) -> stock.Note:
    return stock.Note(cause=f"order:{order.pk}", actor=actor)


def _move(
    order: Order, state: OrderState, *, note: str = "", actor: "User | None" = None
) -> None:
    order.state = state
    order.save(update_fields=["state", "paid_at", "closed_at"])
    if kind := MAILED.get(state):
        mails.line_up(kind, [order])
    log(order, note=note, actor=actor)


def _close(
    order: Order, state: OrderState, *, note: str = "", actor: "User | None" = None
) -> None:
    """End an unpaid order and give its units back."""
    stock.release(_quantities(order), note=_note(order, actor))
    order.closed_at = timezone.now()
    _move(order, state, note=note, actor=actor)
