"""COPY stores exactly what Django's own insert would."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import DataError, IntegrityError, transaction
from django.db.models import F

from catalog.copying import MANY, AnyOf, array, copy_in, insert
from catalog.models import Product, StockMovement
from sales.models import FlashEvent, Order
from sales.sync import EVENT_FIELDS, ORDER_FIELDS
from tests.factories import make_item, make_product

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


@pytest.mark.parametrize("number", [1, MANY - 1, MANY, MANY + 50])
def test_few_and_many_rows_are_inserted_alike(number, django_user_model):
    pot = make_product()
    actor = django_user_model.objects.create(username="ann")
    began = max(StockMovement.objects.values_list("pk", flat=True), default=0)

    insert(
        [
            StockMovement(
                product=pot,
                kind=StockMovement.Kind.RECEIPT,
                on_hand_delta=n,
                on_hand_after=n,
                reserved_after=0,
                allocated_after=0,
                reason="a\ttab",
                actor=actor,
            )
            for n in range(number)
        ]
    )

    rows = StockMovement.objects.filter(pk__gt=began).order_by("pk")
    assert [row.on_hand_delta for row in rows] == list(range(number))
    assert {(row.kind, row.reason, row.actor, row.cause) for row in rows} == {
        ("receipt", "a\ttab", actor, "")
    }
    assert all(row.created_at for row in rows)


def test_any_of_finds_what_in_finds():
    pots = [make_product() for _ in range(3)]
    for keys in ([], [pots[0].pk], {pots[2].pk, pots[0].pk, 0}):
        by_array = Product.objects.filter(AnyOf(F("pk"), keys))
        assert set(by_array) == set(Product.objects.filter(pk__in=keys))
    skus = [pots[1].sku, "it's not there"]
    assert Product.objects.get(AnyOf(F("sku"), skus)) == pots[1]
