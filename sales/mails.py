"""What shoppers are told of their orders by e-mail.

A row is written in the transaction of what it tells of, and a tick sends it. So no mail
is lost; one is sent twice only if the machine dies between sending and noting it, and
then under the same Message-ID.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import formats, translation
from django.utils.translation import gettext as _

from sales.models import MailKind, Order, OrderMail, OrderState

logger = logging.getLogger(__name__)

BATCH = 500
# What an order may have come to since; a mail about anything else is not true any more.
STILL: dict[str, tuple[str, ...]] = {
    MailKind.PAID: (OrderState.PAID,),
    MailKind.EXPIRED: (OrderState.EXPIRED,),
    MailKind.REFUNDED: (OrderState.REFUNDED,),
    MailKind.SENT_BACK: tuple(OrderState.values),
    MailKind.OFFER: (OrderState.HELD,),
}
WAITS = [timedelta(minutes=m) for m in (1, 5, 30, 120, 480, 1440)]


def line_up(kind: MailKind, orders: Iterable[Order]) -> None:
    """Have each order's shopper told, by a later tick; those without address are not.

    For the transaction of what they are told.
    """
    rows = [OrderMail(order=order, kind=kind) for order in orders if order.email]
    OrderMail.objects.bulk_create(rows, batch_size=BATCH)


def send_due(now: datetime, *, limit: int = BATCH) -> int:
    """Send what is lined up; return how many mails went out.

    One that cannot be sent is tried again later, ever more seldom, and stops no other.
    """
    due = OrderMail.objects.filter(next_try_at__lte=now).order_by("next_try_at")
    sent = 0
    connection = get_connection()
    for mail_id in list(due.values_list("pk", flat=True)[:limit]):
        try:
            sent += _send(mail_id, now, connection)
        except Exception:
            logger.exception("order mail %s cannot be sent", mail_id)
    connection.close()
    return sent


def try_again(mail_ids: Iterable[int], *, now: datetime) -> int:
    """Put mails that are not sent back in line, for the next tick; return how many.

    One that is sent already stays sent.
    """
    return OrderMail.objects.filter(pk__in=mail_ids, sent_at=None).update(
        next_try_at=now, attempts=0
    )


@transaction.atomic
def _send(mail_id: int, now: datetime, connection: BaseEmailBackend) -> bool:
    due = OrderMail.objects.filter(pk=mail_id, next_try_at__lte=now)
    locked = due.select_for_update(skip_locked=True, of=("self",))
    row = locked.select_related("order__flash_item__sale").first()
    if row is None:
        return False
    if row.order.state not in STILL[row.kind]:
        row.delete()
        return False
    try:
        message(row, connection=connection).send()
    except Exception as error:  # whatever a mail server or an address leads to
        connection.close()  # it may be in the middle of a conversation
        _postpone(row, now, error)
        return False
    row.sent_at, row.next_try_at = now, None
    row.save(update_fields=["sent_at", "next_try_at"])
    return True


def _postpone(row: OrderMail, now: datetime, error: Exception) -> None:
    tries_left = WAITS[row.attempts :]
    row.next_try_at = now + tries_left[0] if tries_left else None
    row.attempts += 1
    row.error = f"{type(error).__name__}: {error}"[:200]
    row.save(update_fields=["next_try_at", "attempts", "error"])
    log = logger.warning if tries_left else logger.error
    log("order %s: its %s mail is not sent: %s", row.order_id, row.kind, row.error)


def message(
    row: OrderMail, *, connection: BaseEmailBackend | None = None
) -> EmailMultiAlternatives:
    """The mail itself, as text and as a page, in the shopper's language."""
    order = row.order
    with translation.override(order.language or settings.LANGUAGE_CODE):
        subject, sentences = _words(row.kind, order)
        context = {
            "shop_name": settings.SHOP_NAME,
            "subject": subject,
            "sentences": sentences,
            "order": order,
            "lines": list(order.lines.all()),
            "shows_address": row.kind == MailKind.PAID and bool(order.address),
            "url": settings.SITE_URL + order.get_absolute_url(),
        }
        text = render_to_string("mail/order.txt", context)
        page = render_to_string("mail/order.html", context)
    mail = EmailMultiAlternatives(
        subject,
        text,
        to=[order.email],
        connection=connection,
        headers=_headers(row),
    )
    mail.attach_alternative(page, "text/html")
    return mail


def _headers(row: OrderMail) -> dict[str, str]:
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    return {
        "Message-ID": f"<order-mail-{row.pk}-{row.order_id}@{host}>",
        "Auto-Submitted": "auto-generated",
    }


def _words(kind: str, order: Order) -> tuple[str, list[str]]:
    """The subject, and what the mail says above the list of goods."""
    values: dict[str, Any] = {"number": order.number}
    if kind == MailKind.OFFER:
        until = formats.date_format(order.expires_at, "DATETIME_FORMAT")
        return _("It is your turn: order %(number)s") % values, [
            _("You waited in line, and now it has come back. It is held for you."),
            _("Pay on the order's page until %(until)s UTC.") % {"until": until},
            _("If it is not paid by then, it goes to the next in line."),
        ]
    if kind == MailKind.PAID:
        return _("Order %(number)s is paid") % values, [
            _("Thank you! Your payment has arrived and the goods are yours."),
            _("We pack them within one working day."),
        ]
    if kind == MailKind.EXPIRED:
        return _("Order %(number)s: the hold has ended") % values, [
            _(
                "The time to pay was over, so the units went back to the shop. Nothing "
                "was charged."
            ),
            _("If you still want them, the order's page lets you try again."),
        ]
    if kind == MailKind.REFUNDED:
        return _("Order %(number)s is refunded") % values, [
            _("We have sent your money back the way it came."),
            _("It depends on your bank how soon you see it; a few days are usual."),
        ]
    if order.state in (OrderState.PAID, OrderState.REFUNDED):
        why = _("This order was paid twice, so we have sent one payment back.")
    else:
        why = _(
            "Your payment came too late or was not the amount of the order, and the "
            "units are gone. We are sorry. We have sent all of your money back."
        )
    return _("Order %(number)s: your money is on its way back") % values, [
        why,
        _("It depends on your bank how soon you see it; a few days are usual."),
    ]
