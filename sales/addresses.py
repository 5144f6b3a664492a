"""The address book of an account."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _

from sales.models import Address
from sales.orders import Contact, NotPossible

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MOST = 20


def of(user: "User | AnonymousUser") -> list[Address]:
    """The account's addresses, the newest first; guests have none."""
    if not user.is_authenticated:
        return []
    return list(Address.objects.filter(user=user)[:MOST])


def keep(user: "User", contact: Contact, *, address_id: int | None = None) -> Address:
    """Note an address, or change the one named; the same address is kept once.

    Raises NotPossible with a sentence when the book is full, Address.DoesNotExist.
    """
    place = {k: v for k, v in asdict(contact).items() if k != "email"}
    own = Address.objects.filter(user=user)
    same = own.filter(**place).first()
    if address_id is not None:
        changed = own.get(pk=address_id)
        if same is not None and same.pk != changed.pk:
            changed.delete()
            return same
        own.filter(pk=address_id).update(**place)
        changed.refresh_from_db()
        return changed
    if same is not None:
        return same
    if own.count() >= MOST:
        raise NotPossible(
            _("Your address book is full. Delete an address you no longer use.")
        )
    return Address.objects.create(user=user, **place)
