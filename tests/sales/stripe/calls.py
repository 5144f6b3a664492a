"""The shop and Stripe talking: what is posted, handled, and stored of it."""

from datetime import timedelta

from django.utils import timezone

from sales import notices
from sales.models import Order
from sales.payments.stripe import StripeGateway
from tests import stripe_server

WEBHOOK = "/api/v1/payments/webhook/stripe"
COMPLETED = "checkout.session.completed"


def gateway(url, **options):
    options = {"webhook_secret": stripe_server.WEBHOOK_SECRET} | options
    return StripeGateway(stripe_server.KEY, api_base=url, **options)


def post(client, event):
    body, headers = event
    return client.post(
        WEBHOOK, body, content_type="application/json", headers=headers
    ).status_code


def handle():
    return notices.handle_due(timezone.now())


def states(payment):
    payment.refresh_from_db()
    return payment.state, Order.objects.get(pk=payment.order_id).state


def silence(payment, settings):
    """Let the time in which a payment may be silent pass; return the time after."""
    return payment.created_at + timedelta(seconds=settings.SHOP_PAYING_SECONDS + 1)
