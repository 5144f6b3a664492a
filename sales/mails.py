"""What shoppers are told of their orders by e-mail.

A row is written in the transaction of what it tells of, and a tick sends it. So no mail
is lost.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.utils import formats, translation
from django.utils.translation import gettext as _

from catalog import mailing
from sales.models import MailKind, Order, OrderMail, OrderState

# What an order may have come to since; a mail about anything else is not true any more.
STILL: dict[str, tuple[str, ...]] = {
    MailKind.PAID: (OrderState.PAID,),
    MailKind.EXPIRED: (OrderState.EXPIRED,),
    MailKind.REFUNDED: (OrderState.REFUNDED,),
    MailKind.SENT_BACK: tuple(OrderState.values),
    MailKind.OFFER: (OrderState.HELD,),
}


def line_up(kind: MailKind, orders: Iterable[Order]) -> None:
    """Have each order's shopper told, by a later tick; those without address are not.

    For the transaction of what they are told.
    """
    rows = [OrderMail(order=order, kind=kind) for order in orders if order.email]
    OrderMail.objects.bulk_create(rows, batch_size=mailing.BATCH)


def send_due(now: datetime) -> int:
    """Send what is lined up; return how many mails went out."""
    due = OrderMail.objects.filter(next_try_at__lte=now).order_by("next_try_at")

    def note(row: OrderMail, error: str) -> None:
        if error:
            row.error = error[:200]
        else:
            row.sent_at = now
        row.save(update_fields=["sent_at", "next_try_at", "attempts", "error"])

    due = due.select_related("order__flash_item__sale")
    return mailing.send_due(due, now, message=message, note=note)


def try_again(mail_ids: Iterable[int], *, now: datetime) -> int:
    """Put mails that are not sent back in line, for the next tick; return how many.

    One that is sent already stays sent.
    """
    return OrderMail.objects.filter(pk__in=mail_ids, sent_at=None).update(
        next_try_at=now, attempts=0
    )


def message(row: OrderMail) -> EmailMultiAlternatives | None:
    """The mail in the shopper's language; None when it is not true any more."""
    order = row.order
    if order.state not in STILL[row.kind]:
        return None
    with translation.override(order.language or settings.LANGUAGE_CODE):
        subject, sentences = _words(row.kind, order)
        context = {
            "subject": subject,
            "sentences": sentences,
            "order": order,
            "lines": list(order.lines.all()),
            "shows_address": row.kind == MailKind.PAID and bool(order.address),
            "url": settings.SITE_URL + order.get_absolute_url(),
        }
        name = f"order-mail-{row.pk}-{row.order_id}"
        return mailing.compose("order", context, to=order.email, name=name)


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
