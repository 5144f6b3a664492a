"""/api/v1 for payments: the test provider's, and what providers tell us."""

from uuid import UUID

from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _

from catalog.callers import Token
from catalog.problems import Problem, declared, not_found
from sales import jobs, notices, payments
from sales.api.routes import router
from sales.models import Payment, PaymentState
from sales.payments import test as test_gateway
from sales.payments.notice import BadSignature, Unreadable
from sales.schemas import OutcomeIn, OutcomeOut, ReceivedOut


@router.post(
    "/payments/test/{uuid:payment_id}",
    auth=Token(),
    tags=["Payments"],
    response={200: OutcomeOut, **declared(404)},
)
def decide_test_payment(
    request: HttpRequest, payment_id: UUID, body: OutcomeIn
) -> OutcomeOut:
    """Play the test provider: it sends its signed notification to this shop.

    Only while the test gateway is on.
    """
    payment = Payment.objects.filter(pk=payment_id, gateway="test").first()
    if payment is None or "test" not in payments.GATEWAYS:
        raise not_found(_("There is no such test payment."))
    notices.receive("test", *test_gateway.notification(payment, body.outcome))
    notices.catch_up(payment)
    payment.refresh_from_db()
    return OutcomeOut(
        payment_id=payment.pk,
        state=PaymentState(payment.state),
        order_id=payment.order_id,
    )


@router.post(
    "/payments/webhook/{str:gateway}",
    auth=None,
    tags=["Payments"],
    response={200: ReceivedOut, **declared(400, 404)},
)
def receive_notice(request: HttpRequest, gateway: str) -> ReceivedOut:
    """For the provider: a signed notification. Safe to repeat, in any order.

    Codes: `bad_signature`, `malformed`.
    """
    try:
        is_new = notices.receive(gateway, request.body, request.headers)
    except notices.UnknownGateway as error:
        raise not_found(_("This shop does not use that provider.")) from error
    except BadSignature as error:
        raise Problem(400, "bad_signature", str(error)) from error
    except Unreadable as error:
        raise Problem(400, "malformed", str(error)) from error
    transaction.on_commit(jobs.start_handling)
    return ReceivedOut(repeated=not is_new)
