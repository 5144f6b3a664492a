"""Who comes to the demo shop: two accounts for everybody, and some shoppers."""

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User

from sales.orders import Contact

MERCHANT = "merchant@demo.test"
SHOPPER = "shopper@demo.test"
PASSWORD = "holdfast-demo"  # noqa: S105  shown to everybody on purpose

CONTACTS = {
    row[0].partition("@")[0]: Contact(*row)
    for row in (
        (SHOPPER, "Sam Shopper", "1 Demo Street", "10001", "New York", "US"),
        ("ines@example.com", "Ines Okafor", "14 Ropewalk", "40210", "Fairhaven", "US"),
        ("tomas@example.com", "Tomas Lindqvist", "Kajgatan 8", "41110", "Lund", "SE"),
        ("priya@example.com", "Priya Raman", "77 Mill Street", "BS1", "Bristol", "GB"),
        (
            "dewi@example.com",
            "Dewi Santoso",
            "Jl. Kenanga 21",
            "40132",
            "Bandung",
            "ID",
        ),
        ("marek@example.com", "Marek Zielinski", "Portowa 5", "80-001", "Gdansk", "PL"),
        ("noor@example.com", "Noor van Dijk", "Werfkade 112", "3011", "Delft", "NL"),
        ("caleb@example.com", "Caleb Whitaker", "22 Alder", "97202", "Portland", "US"),
        (
            "yuki@example.com",
            "Yuki Tanabe",
            "3-14 Minato",
            "231-0023",
            "Yokohama",
            "JP",
        ),
        ("lucia@example.com", "Lucia Ferreira", "Cais 9", "4050-101", "Porto", "PT"),
    )
}


def create_accounts() -> User:
    """Make sure that both accounts exist, with verified addresses; the merchant.

    An account that is there keeps its password and its rights.
    """
    password = make_password(PASSWORD)
    merchant = _account(
        MERCHANT, password, first_name="Maren", is_staff=True, is_superuser=True
    )
    _account(SHOPPER, password, first_name="Sam")
    return merchant


def find(email: str) -> User | None:
    """The account with that address, if the demo has one."""
    return User.objects.filter(username=email).first()


def _account(email: str, password: str, **fields: object) -> User:
    user, _ = User.objects.get_or_create(
        username=email, defaults={"email": email, "password": password, **fields}
    )
    EmailAddress.objects.get_or_create(
        user=user, email=email, defaults={"verified": True, "primary": True}
    )
    return user
