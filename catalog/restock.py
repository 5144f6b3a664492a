"""Who wants to hear when a product is back: asked once, mailed once, then forgotten.

The answer to a shopper never tells whether an address was known, so nobody can be
looked up here.
"""

import logging
from datetime import datetime

from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from catalog import mailing
from catalog.models import Product, RestockRequest

logger = logging.getLogger(__name__)

MOST_PER_ADDRESS = 20  # open requests of one e-mail address
MOST_PER_HOUR = 60  # requests from one network address
SALT = "catalog.restock"


def ask(product: Product, email: str) -> None:
    """Have the address told once when the product can be bought again.

    Asking twice is asking once. Above MOST_PER_ADDRESS nothing more is kept, and
    nobody is told that, so that strangers cannot learn of an address.
    """
    address = email.strip().lower()
    if RestockRequest.objects.filter(email=address).count() >= MOST_PER_ADDRESS:
        logger.info("an address asked for too many products; product %s", product.pk)
        return
    RestockRequest.objects.get_or_create(
        product=product,
        email=address,
        defaults={"language": translation.get_language() or ""},
    )


def may_ask(network_address: str) -> bool:
    """Count a request of a network address; False when it has made too many."""
    if not settings.SHOP_RATE_LIMITS:
        return True
    key = f"restock-asked:{network_address}"
    try:
        cache.add(key, 0, 3600)
        return cache.incr(key) <= MOST_PER_HOUR
    except Exception as error:  # whatever the cache's server does
        logger.warning("requests are not counted: %s", error)
        return True


def waiting(product_id: int) -> int:
    """How many addresses wait for a product."""
    return RestockRequest.objects.filter(product=product_id).count()


def token(email: str) -> str:
    """What a link carries to stop the mails to an address."""
    return signing.dumps(email, salt=SALT, compress=True)


def forget(token: str) -> bool:
    """Drop all requests of the link's address; False for a link that is not ours."""
    try:
        email = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        return False
    RestockRequest.objects.filter(email=email).delete()
    return True


def send_due(now: datetime) -> int:
    """Mail those whose product can be bought again; return how many mails went out."""
    due = RestockRequest.objects.filter(
        next_try_at__lte=now,
        product__stock__sellable__gt=0,
        product__is_published=True,
    )
    due = due.select_related("product").order_by("pk")
    return mailing.send_due(due, now, message=message, note=_note)


def _note(row: RestockRequest, error: str) -> None:
    """Drop a request that is answered or given up."""
    if row.next_try_at is None:
        row.delete()
    else:
        row.save(update_fields=["next_try_at", "attempts"])


def message(row: RestockRequest) -> EmailMultiAlternatives:
    """The mail itself, as text and as a page, in the shopper's language."""
    stop_url = settings.SITE_URL + reverse(
        "catalog:tell-me-stop", args=[token(row.email)]
    )
    with translation.override(row.language or settings.LANGUAGE_CODE):
        context = {
            "subject": _("Back in stock: %(name)s") % {"name": row.product.name},
            "sentences": [
                _("You asked us to tell you: it can be bought again."),
                _("This is the only mail about it, and no unit is held for you."),
            ],
            "product": row.product,
            "url": settings.SITE_URL + row.product.get_absolute_url(),
            "stop_url": stop_url,
        }
        headers = {
            "List-Unsubscribe": f"<{stop_url}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
        return mailing.compose(
            "restock", context, to=row.email, name=f"restock-{row.pk}", headers=headers
        )
