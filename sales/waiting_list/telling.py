"""The one mail to those whose line ended with the sale: nothing came back for them.

`serving.close_over` marks them in the statement that ends their wait. A tick sends the
mail and forgets the address.
"""

from datetime import datetime

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.utils import translation
from django.utils.translation import gettext as _

from catalog import mailing
from sales.models import WaitingEntry


def tell_ended(now: datetime) -> int:
    """Mail those whose wait was in vain; return how many mails went out."""
    due = WaitingEntry.objects.filter(next_try_at__lte=now).order_by("next_try_at")
    due = due.select_related("item__sale", "item__product")
    return mailing.send_due(due, now, message=message, note=_note)


def _note(entry: WaitingEntry, error: str) -> None:
    """Forget the address once the mail is sent or given up."""
    if entry.next_try_at is None:
        entry.email = ""
        entry.save(update_fields=["email", "next_try_at"])
    else:
        entry.save(update_fields=["next_try_at", "attempts"])


def message(entry: WaitingEntry) -> EmailMultiAlternatives:
    """The mail itself, as text and as a page, in the shopper's language."""
    product, sale = entry.item.product, entry.item.sale
    names = {"name": product.name, "sale": sale.name}
    with translation.override(entry.language or settings.LANGUAGE_CODE):
        context = {
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
        return mailing.compose(
            "line_ended", context, to=entry.email, name=f"line-ended-{entry.order_id}"
        )
