"""What payment providers tell us: stored first, then followed, once, in any order."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from sales import checkout, payments
from sales.models import Payment, PaymentNotice, PaymentState
from sales.payments.notice import Notice

logger = logging.getLogger(__name__)

OUTCOMES = (PaymentState.PAID, PaymentState.DECLINED)


class UnknownGateway(Exception):
    """This shop does not use that provider."""


def receive(gateway: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Store a provider's notification and let the order follow it; False if a repeat.

    Once this returns, the word is kept: what cannot be done now is done by
    `handle_due`. Raises UnknownGateway, BadSignature or Unreadable.
    """
    if gateway not in payments.GATEWAYS:
        raise UnknownGateway(gateway)
    notice = payments.GATEWAYS[gateway].read(body, headers)
    row, is_new = PaymentNotice.objects.get_or_create(
        gateway=gateway,
        event_id=notice.event_id,
        defaults={**_fields(notice), "payment": _payment_of(gateway, notice)},
    )
    if row.handled_at is None:
        try:
            handle(row.pk)
        except Exception:
            logger.exception("notice %s waits for the next run", row.pk)
    return is_new


def handle(notice_id: int) -> None:
    """Do what a stored notification says, once. Safe to repeat and to race."""
    with transaction.atomic():
        row = PaymentNotice.objects.select_for_update().get(pk=notice_id)
        if row.handled_at is not None:
            return
        row.note = _doubt(row)
        row.handled_at = timezone.now()
        if row.note:
            logger.error("notice %s of %s: %s", row.pk, row.gateway, row.note)
        elif row.payment_id is not None and row.outcome in OUTCOMES:
            checkout.finish(row.payment_id, row.outcome, reference=row.reference)
        row.save()


def handle_due(now: datetime, *, limit: int = 500) -> int:
    """Handle what a crash left waiting; return how many. One bad row stops no other."""
    handled = 0
    due = PaymentNotice.objects.filter(handled_at=None, received_at__lte=now)
    for notice_id in list(due.order_by("pk").values_list("pk", flat=True)[:limit]):
        try:
            handle(notice_id)
            handled += 1
        except Exception:
            logger.exception("notice %s cannot be handled", notice_id)
    return handled


def _fields(notice: Notice) -> dict[str, object]:
    fields = asdict(notice)
    del fields["event_id"], fields["payment_id"]
    fields["outcome"] = notice.outcome[:20]
    fields["currency"] = notice.currency[:3].upper()
    fields["reference"] = notice.reference[:200]
    return fields


def _payment_of(gateway: str, notice: Notice) -> Payment | None:
    if notice.payment_id is None:
        return None
    return Payment.objects.filter(pk=notice.payment_id, gateway=gateway).first()


def _doubt(row: PaymentNotice) -> str:
    """Why a person must look at this before money is believed; empty if nobody must."""
    if row.outcome not in OUTCOMES:
        return ""
    if row.payment is None:
        return "no such payment"
    if row.outcome == PaymentState.PAID and (
        (row.amount, row.currency) != (row.payment.amount, row.payment.currency)
    ):
        return (
            f"{row.amount} {row.currency} came, not "
            f"{row.payment.amount} {row.payment.currency}"
        )
    return ""
