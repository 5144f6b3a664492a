"""The one mail to those whose line ended with the sale: nothing came back for them.

`serving.close_over` marks them in the statement that ends their wait. A tick sends the
mail and forgets the address. It is sent twice only if the machine dies between the two,
and then under the same Message-ID.
"""

import logging
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from sales.models import WaitingEntry

logger = logging.getLogger(__name__)

BATCH = 500
WAITS = [timedelta(minutes=m) for m in (1, 5, 30, 120, 480, 1440)]


def tell_ended(now: datetime, *, limit: int = BATCH) -> int:
    """Mail those whose wait was in vain; return how many mails went out.

    One that cannot be sent is tried again later, at last given up, and stops no other.
    """
    due = WaitingEntry.objects.filter(next_try_at__lte=now).order_by("next_try_at")
    entry_ids = list(due.values_list("pk", flat=True)[:limit])
    if not entry_ids:
        return 0
    sent = 0
    connection = get_connection()
    for entry_id in entry_ids:
        try:
            sent += _tell(entry_id, now, connection)
        except Exception:
            logger.exception("waiting entry %s cannot be told of the end", entry_id)
    connection.close()
    return sent


@transaction.atomic
def _tell(entry_id: int, now: datetime, connection: BaseEmailBackend) -> bool:
    due = WaitingEntry.objects.filter(pk=entry_id, next_try_at__lte=now)
    locked = due.select_for_update(skip_locked=True, of=("self",))
    entry = locked.select_related("item__sale", "item__product").first()
    if entry is None:
        return False
    try:
        message(entry, connection=connection).send()
    except Exception as error:  # whatever a mail server or an address leads to
        connection.close()  # it may be in the middle of a conversation
        _postpone(entry, now, error)
        return False
    _forget(entry)
    return True


def _postpone(entry: WaitingEntry, now: datetime, error: Exception) -> None:
    logger.warning("entry %s: the mail of its end waits: %s", entry.order_id, error)
    if entry.attempts >= len(WAITS):
        _forget(entry)
        return
    entry.next_try_at = now + WAITS[entry.attempts]
    entry.attempts += 1
    entry.save(update_fields=["next_try_at", "attempts"])


def _forget(entry: WaitingEntry) -> None:
    entry.email, entry.next_try_at = "", None
    entry.save(update_fields=["email", "next_try_at"])


def message(
    entry: WaitingEntry, *, connection: BaseEmailBackend | None = None
) -> EmailMultiAlternatives:
    """The mail itself, as text and as a page, in the shopper's language."""
    product, sale = entry.item.product, entry.item.sale
    names = {"name": product.name, "sale": sale.name}
    with translation.override(entry.language or settings.LANGUAGE_CODE):
        context = {
            "shop_name": settings.SHOP_NAME,
            "subject": _("The sale is over: %(name)s") % names,
            "sentences": [
                _(
                    "You waited in line for %(name)s. The sale %(sale)s is over, and "
                    "none came back for you. We are sorry."
                )
                % names,
                _("You were not charged, and there is nothing you need to do."),
                _(
                    "This is the last mail about it; your address is no longer on "
                    "the list."
                ),
            ],
            "product": product,
            "product_url": settings.SITE_URL + product.get_absolute_url(),
            "url": settings.SITE_URL + entry.get_absolute_url(),
        }
        text = render_to_string("mail/line_ended.txt", context)
        page = render_to_string("mail/line_ended.html", context)
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    mail = EmailMultiAlternatives(
        " ".join(str(context["subject"]).split()),
        text,
        to=[entry.email],
        connection=connection,
        headers={
            "Message-ID": f"<line-ended-{entry.order_id}@{host}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    mail.attach_alternative(page, "text/html")
    return mail
