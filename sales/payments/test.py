"""The test gateway: a page of our own where the tester plays the provider."""

from decimal import Decimal

from django.urls import reverse

from sales.models import Payment


class TestGateway:
    """Approves or declines at the tester's word; no money moves."""

    name = "test"

    def start(self, payment: Payment) -> str:
        """The path of the page that asks for the outcome."""
        return reverse("sales:test-payment", args=[payment.pk])

    def refund(self, payment: Payment, amount: Decimal) -> None:
        """Nothing was taken, so nothing goes back."""
