"""How accounts are made: the user name is the e-mail address in lower case."""

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth.models import User
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Gives new users their address as user name, unique by constraint."""

    def populate_username(self, request: HttpRequest, user: User) -> None:
        user.username = user.email.lower()

    def clean_email(self, email: str) -> str:
        return str(super().clean_email(email)).lower()
