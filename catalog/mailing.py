"""Mails to shoppers that are due, each by a row that says when it is tried next.

One that cannot be sent is tried again, ever more seldom, at last given up, and stops no
other. It is sent twice only if the machine dies between sending and noting it, and then
under the same Message-ID.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import Model, QuerySet
from django.template.loader import render_to_string

logger = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Model)

BATCH = 500
WAITS = [timedelta(minutes=m) for m in (1, 5, 30, 120, 480, 1440)]


def send_due(
    due: QuerySet[Row],
    now: datetime,
    *,
    message: Callable[[Row], EmailMultiAlternatives | None],
    note: Callable[[Row, str], object],
) -> int:
    """Send the mails of rows that are due; return how many went out.

    Each row is locked for its try, so two runs never send the same one. `message` makes
    its mail; a row that has nothing to tell any more (None) is deleted. `note` gets the
    row with its new `attempts` and `next_try_at`, empty once the mail is sent or given
    up, and what went wrong, and stores it.
    """
    sent = 0
    connection = get_connection()
    for pk in list(due.values_list("pk", flat=True)[:BATCH]):
        try:
            sent += _send(due.filter(pk=pk), now, connection, message, note)
        except Exception:
            logger.exception("%s %s cannot be mailed", due.model.__name__, pk)
    connection.close()
    return sent


@transaction.atomic
def _send(
    due: QuerySet[Row],
    now: datetime,
    connection: BaseEmailBackend,
    message: Callable[[Row], EmailMultiAlternatives | None],
    note: Callable[[Row, str], object],
) -> bool:
    row: Any = due.select_for_update(skip_locked=True, of=("self",)).first()
    if row is None:
        return False
    error = ""
    try:
        mail = message(row)
        if mail is None:
            row.delete()
            return False
        connection.send_messages([mail])
        row.next_try_at = None
    except Exception as failure:  # whatever a mail server or an address leads to
        connection.close()  # it may be in the middle of a conversation
        error = f"{type(failure).__name__}: {failure}"
        waits_left = WAITS[row.attempts :]
        row.next_try_at = now + waits_left[0] if waits_left else None
        row.attempts += 1
        log = logger.warning if waits_left else logger.error
        log("%s %s: its mail is not sent: %s", type(row).__name__, row.pk, error)
    note(row, error)
    return not error


def compose(
    template: str,
    context: Mapping[str, Any],
    *,
    to: str,
    name: str,
    headers: Mapping[str, str] | None = None,
) -> EmailMultiAlternatives:
    """A mail as text and as a page, by two templates, in the language that is on.

    `context` has the subject; `name` is unique to the mail, for its Message-ID.
    """
    context = {"shop_name": settings.SHOP_NAME, **context}
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    mail = EmailMultiAlternatives(
        " ".join(context["subject"].split()),
        render_to_string(f"mail/{template}.txt", context),
        to=[to],
        headers={
            "Message-ID": f"<{name}@{host}>",
            "Auto-Submitted": "auto-generated",
            **(headers or {}),
        },
    )
    page = render_to_string(f"mail/{template}.html", context)
    mail.attach_alternative(page, "text/html")
    return mail
