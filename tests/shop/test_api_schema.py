"""The API keeps what its description promises, whatever is sent to it."""

from types import FunctionType
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sales import carts, checkout, orders, tokens
from shop.wsgi import application
from tests.factories import make_loaded_item, make_product, make_user

pytestmark = [
    pytest.mark.slow,
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
]


def served(environ, start_response):
    """The shop, asked from an address as a web server would tell it."""
    return application({"REMOTE_ADDR": "127.0.0.1", **environ}, start_response)


schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", served)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
FEW = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def each_operation(check):
    """A test of `check` for every operation, with a name of its own.

    Of tests with equal names, as schemathesis gives them, xdist runs only the first.
    """
    for found in schema.get_all_operations():
        operation = found.ok().definition.raw["operationId"]
        name = f"test_{operation}_{check.__name__}"
        test = FunctionType(check.__code__, check.__globals__, name)
        chosen = schema.include(operation_id=operation)
        globals()[name] = chosen.parametrize()(FEW(test))
    return check


@pytest.fixture
def owner(settings, sale_redis):
    """The header of a user who may do everything."""
    settings.SHOP_RATE_LIMITS = False
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user = make_user(is_superuser=True)
    return {"Authorization": f"Bearer {tokens.issue(user).text}"}


@pytest.fixture
def there(owner):
    """Path parameters of things that are there."""
    product = make_product(sku="POT", on_hand=1000)
    item = make_loaded_item(product=product, units=500, limit=100)
    order = orders.place(
        uuid4(), [(item.product_id, 1)], contact=orders.Contact("a@example.com")
    )
    return {
        "sku": item.product.sku,
        "sale_id": item.sale_id,
        "cart_id": str(carts.create().pk),
        "order_id": str(order.pk),
        "payment_id": str(checkout.begin_payment(order.pk).pk),
        "gateway": "test",
    }


@each_operation
def answers_as_documented(case, owner):
    case.call_and_validate(headers=owner, checks=CHECKS)


@each_operation
def answers_as_documented_about_what_is_there(case, there, owner):
    for name in case.path_parameters or {}:
        case.path_parameters[name] = there[name]
    if isinstance(case.body, dict) and "sku" in case.body:
        case.body["sku"] = there["sku"]

    case.call_and_validate(headers=owner, checks=CHECKS)


@each_operation
def answers_nobody_as_documented(case, settings, sale_redis):
    settings.SHOP_RATE_LIMITS = False

    case.call_and_validate(headers={"Authorization": ""}, checks=CHECKS)


def test_every_operation_has_its_tests():
    made = [name for name in globals() if name.endswith("_answers_as_documented")]

    assert len(made) == len(list(schema.get_all_operations())) > 25
