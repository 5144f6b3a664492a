"""COPY stores exactly what Django's own insert would."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import DataError, IntegrityError, transaction

from sales.copying import array, copy_in
from sales.models import FlashEvent, Order
from sales.sync import EVENT_FIELDS, ORDER_FIELDS
from tests.factories import make_item

pytestmark = pytest.mark.django_db

NASTY = [
    "",
    "\\N",
    "\\.",
    "tab\tnew\nline\rback\\slash",
    "\\t",
    "\"quoted\" 'single' {a,b}",
    "ひらがな 🧺 \u2028",
    "NULL",
]
AT = datetime(2031, 5, 6, 7, 8, 9, 123000, tzinfo=UTC)


def event(item, seq, **fields):
    values = {
        "item_id": item.pk,
        "seq": seq,
        "epoch": 1,
        "kind": "claim",
        "order_id": uuid4(),
        "buyer": "g:alice",
        "quantity": 1,
        "expires_at": None,
        "at": AT,
        "details": {},
        "is_poison": False,
        **fields,
    }
    return tuple(values[name] for name in EVENT_FIELDS)


@pytest.mark.parametrize("text", NASTY)
def test_any_text_comes_back_as_it_was(text):
    item = make_item()

    copy_in(
        FlashEvent, EVENT_FIELDS, [event(item, 1, buyer=text, details={text: text})]
    )

    row = FlashEvent.objects.get()
    assert (row.buyer, row.details) == (text, {text: text})
    assert (row.at, row.expires_at, row.is_poison) == (AT, None, False)


def test_fields_that_are_not_named_get_the_default_of_the_model():
    item = make_item()
    values = {
        "flash_item_id": item.pk,
        "claim_seq": 3,
        "buyer": "g:alice",
        "state": "held",
        "expires_at": AT,
        "created_at": AT,
        "paid_at": None,
        "closed_at": None,
        "total": Decimal("12.50"),
        "user_id": None,
        "email": "",
    }
    by_django = Order.objects.create(pk=uuid4(), claim_id=uuid4(), **values)

    row = {"id": uuid4(), "claim_id": uuid4(), **values}
    copy_in(Order, ORDER_FIELDS, [[row[name] for name in ORDER_FIELDS]])

    copied = Order.objects.values().get(pk=row["id"])
    expected = Order.objects.values().get(pk=by_django.pk)
    assert copied == {**expected, "id": row["id"], "claim_id": row["claim_id"]}


def test_what_the_database_refuses_is_djangos_error():
    item = make_item()
    with pytest.raises(IntegrityError), transaction.atomic():
        copy_in(FlashEvent, EVENT_FIELDS, [event(item, 1), event(item, 1)])
    with pytest.raises(DataError), transaction.atomic():
        copy_in(FlashEvent, EVENT_FIELDS, [event(item, 1, kind="k" * 13)])
    assert not FlashEvent.objects.exists()


def test_no_rows_are_no_statement(django_assert_num_queries):
    with django_assert_num_queries(0):
        copy_in(FlashEvent, EVENT_FIELDS, [])


def test_an_array_has_nulls_where_there_is_nothing():
    assert array([1, None, "held"]) == "{1,NULL,held}"
    assert array([]) == "{}"
