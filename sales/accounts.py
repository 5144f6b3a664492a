"""Accounts for the JSON API: made and signed in to by the rules of the pages."""

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.mfa.base.internal.flows import check_rate_limit
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest


class EmailTaken(Exception):
    """There is an account with this address."""


class WrongCredentials(Exception):
    """The address or the password is wrong, or the account is not active."""


class CodeNeeded(Exception):
    """The account has, or must have, a second factor; the code is missing or wrong."""


class TooManyTries(Exception):
    """Too many failed sign-ins; wait a few minutes."""


@transaction.atomic
def register(email: str, password: str) -> User:
    """A new account. Raises EmailTaken, or ValidationError for a weak password."""
    email = email.lower()
    user = User(username=email, email=email)
    validate_password(password, user)
    user.set_password(password)
    if User.objects.filter(username=email).exists():
        raise EmailTaken(email)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:
        raise EmailTaken(email) from error
    EmailAddress.objects.create(user=user, email=email, primary=True)
    return user


def sign_in(request: HttpRequest, email: str, password: str, *, code: str) -> User:
    """The account of that address; failures count against the limits of the pages.

    Raises WrongCredentials, CodeNeeded or TooManyTries.
    """
    try:
        user = get_adapter().authenticate(request, email=email, password=password)
    except ValidationError as error:
        raise TooManyTries from error
    if not isinstance(user, User) or not user.is_active:
        raise WrongCredentials
    must = settings.SHOP_STAFF_TWO_FACTOR and user.is_staff
    if (must or is_mfa_enabled(user)) and not _fits(user, code):
        raise CodeNeeded
    return user


def _fits(user: User, code: str) -> bool:
    """Whether it is the code of now. Raises TooManyTries: six digits can be guessed."""
    row = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
    if row is None or not code:
        return False
    try:
        forgive = check_rate_limit(user)
    except ValidationError as error:
        raise TooManyTries from error
    fits: bool = TOTP(row).validate_code(code)
    if fits:
        forgive()
    return fits
