"""The events of flash sales are a ledger: nobody edits or deletes one."""

from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from sales import audit, flash, sync
from sales.models import FlashEvent, Verdict
from tests.factories import make_loaded_item

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def event(sale_redis):
    item = make_loaded_item()
    flash.claim(item.pk, order_id=uuid4(), buyer="g:alice", quantity=1)
    sync.drain(item.pk)
    return FlashEvent.objects.get(item=item, kind="claim")


def test_the_database_refuses_to_edit_or_delete_an_event(event):
    rows = FlashEvent.objects.filter(pk=event.pk)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        rows.update(quantity=F("quantity") + 1)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        rows.delete()
    assert rows.get().quantity == 1


def test_the_audit_notices_when_events_can_be_edited(event):
    switch = "ALTER TABLE sales_flashevent %s TRIGGER flash_event_append_only"
    with connection.cursor() as cursor:
        cursor.execute(switch % "DISABLE")
        try:
            run = audit.look()
        finally:
            cursor.execute(switch % "ENABLE")

    (finding,) = run.violations
    words = "flash_event_append_only is missing or switched off"
    assert (finding.invariant, finding.first_difference) == (5, words)
    assert audit.look().verdict == Verdict.HOLDS
