"""The two people of the demo, with a password that everybody knows."""

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User

MERCHANT = "merchant@demo.test"
SHOPPER = "shopper@demo.test"
PASSWORD = "holdfast-demo"  # noqa: S105  shown to everybody on purpose


def create() -> User:
    """Make sure that both accounts exist, with verified addresses; the merchant.

    An account that is there keeps its password and its rights.
    """
    password = make_password(PASSWORD)
    merchant = _account(
        MERCHANT, password, first_name="Maren", is_staff=True, is_superuser=True
    )
    _account(SHOPPER, password, first_name="Sam")
    return merchant


def _account(email: str, password: str, **fields: object) -> User:
    user, _ = User.objects.get_or_create(
        username=email, defaults={"email": email, "password": password, **fields}
    )
    EmailAddress.objects.get_or_create(
        user=user, email=email, defaults={"verified": True, "primary": True}
    )
    return user
