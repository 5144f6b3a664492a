"""What payment providers tell us: stored first, then followed, once, in any order."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import ROUND_UP, Decimal

from django.utils import timezone
from django.utils.translation import gettext as _

from catalog import alerts
from catalog.models import AlertKind
from sales import checkout, payments
from sales.models import Payment, PaymentNotice
from sales.payments.notice import Notice, Unreachable

logger = logging.getLogger(__name__)

CENT = Decimal("0.01")


class UnknownGateway(Exception):
    """This shop does not use that provider."""


def receive(gateway: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Store a provider's notification; False if it was there. `handle_due` does it.

    Raises UnknownGateway, BadSignature or Unreadable, and then nothing is stored.
    """
    if gateway not in payments.GATEWAYS:
        raise UnknownGateway(gateway)
    notice = payments.GATEWAYS[gateway].read(body, headers)
    _row, is_new = PaymentNotice.objects.get_or_create(
        gateway=gateway,
        event_id=notice.event_id,
        defaults={
            **_fields(notice),
            "payment": _payment_of(gateway, notice),
            "body": body.decode(errors="replace"),
        },
    )
    return is_new


def handle_due(
    now: datetime, *, payment: Payment | None = None, limit: int = 500
) -> int:
    """Do what stored notifications say, all or one payment's; return how many.

    One bad row stops no other: it keeps its error, and the shop is alerted.
    """
    due = PaymentNotice.objects.filter(handled_at=None, received_at__lte=now)
    if payment is not None:
        due = due.filter(payment=payment)
    rows = due.select_related("payment").order_by("pk")[:limit]
    return sum(_handled(row) for row in rows)


def handle_now(notice_id: int) -> PaymentNotice:
    """Handle one stored notification that is still open, and return its row.

    Its `note` says why when it could not be done. Safe to repeat.
    """
    row = PaymentNotice.objects.select_related("payment").get(pk=notice_id)
    if row.handled_at is None:
        _handled(row)
        row.refresh_from_db()
    return row


def catch_up(payment: Payment) -> None:
    """Bring a payment to where its provider has it: by notification, else by asking."""
    handle_due(timezone.now(), payment=payment)
    payment.refresh_from_db()
    try:
        checkout.ask(payment)
    except Unreachable as error:
        logger.warning("payment %s: its notification is to come: %s", payment.pk, error)


def _handled(row: PaymentNotice) -> bool:
    """Handle a stored notification, once; safe to repeat and to race.

    What follows from it is safe to repeat, so it is marked afterwards and needs no
    lock.
    """
    try:
        note = _hear(row)
    except Exception as error:
        logger.exception("notice %s cannot be handled", row.pk)
        PaymentNotice.objects.filter(pk=row.pk).update(note=repr(error)[:200])
        _alert(row, _("it could not be handled"))
        return False
    PaymentNotice.objects.filter(pk=row.pk).update(
        note=note[:200], handled_at=timezone.now()
    )
    return True


def _hear(row: PaymentNotice) -> str:
    """Let the order follow; returns what a person must look at."""
    if row.payment is None:
        if row.outcome not in checkout.OUTCOMES:
            return ""
        _alert(row, _("there is no such payment"))
        return "no such payment"
    said = Notice(
        event_id=row.event_id,
        payment_id=row.payment.pk,
        outcome=row.outcome,
        amount=row.amount,
        currency=row.currency,
        reference=row.reference,
    )
    return checkout.hear(row.payment.pk, said)


def _alert(row: PaymentNotice, doubt: str) -> None:
    text = _("Notification %(event)s of %(gateway)s: %(doubt)s.") % {
        "event": row.event_id,
        "gateway": row.gateway,
        "doubt": doubt,
    }
    alerts.raise_once(AlertKind.PAYMENT, text, cause=f"notice:{row.pk}")


def _fields(notice: Notice) -> dict[str, object]:
    fields = asdict(notice)
    del fields["event_id"], fields["payment_id"]
    if notice.amount is not None:  # a part of a cent more is not what is due
        fields["amount"] = notice.amount.quantize(CENT, ROUND_UP)
    fields["outcome"] = notice.outcome[:20]
    fields["currency"] = notice.currency[:3].upper()
    fields["reference"] = notice.reference[:200]
    return fields


def _payment_of(gateway: str, notice: Notice) -> Payment | None:
    if notice.payment_id is None:
        return None
    return Payment.objects.filter(pk=notice.payment_id, gateway=gateway).first()
