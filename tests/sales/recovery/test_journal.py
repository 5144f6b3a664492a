"""What buyers were told is taken from the journal, once."""

from uuid import uuid4

import pytest
from django.utils import timezone

from sales import checkout, counters, recovery, sync
from sales.models import Order
from tests.factories import make_loaded_item
from tests.sales.recovery.steps import claim, lose, numbers, state_of

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class TestJournal:
    def test_a_cancelled_claim_stays_cancelled(self, sale_redis):
        item = make_loaded_item(units=5)
        kept, gone = claim(item, 2), claim(item, 3)
        checkout.cancel(gone)
        lose(sale_redis)
        recovery.open_fence()
        assert (state_of(kept), state_of(gone)) == ("held", "cancelled")
        assert numbers(item) == (3, 2, 0, 0)

    def test_a_unit_that_was_cancelled_belongs_to_the_next_buyer(self, sale_redis):
        item = make_loaded_item(units=1)
        first = claim(item)
        sync.drain(item.pk)
        checkout.cancel(first)
        second = claim(item, buyer="g:bob")
        lose(sale_redis)
        recovery.open_fence()
        assert (state_of(first), state_of(second)) == ("cancelled", "held")

    def test_a_claim_that_was_made_again_is_kept(self, sale_redis, settings):
        item = make_loaded_item(units=2)
        order_id = claim(item)
        checkout.cancel(order_id)
        sync.drain(item.pk)
        settings.SHOP_FLASH_HOLD_SECONDS = 1200
        counters.client().hset(counters.keys(item.pk)[0], "hold_ms", 1_200_000)
        checkout.claim_again(order_id)
        lose(sale_redis)
        recovery.open_fence()
        assert state_of(order_id) == "held"

    def test_what_is_in_postgresql_is_not_taken_from_the_journal(self, sale_redis):
        item = make_loaded_item()
        order_id = claim(item)
        note = counters.journaled(item.pk)[order_id]
        sync.drain(item.pk)
        counters.journal(item.pk, order_id, note, epoch=1)  # came late
        lose(sale_redis)
        recovery.open_fence()
        assert numbers(item) == (9, 1, 0, 0)

    def test_a_noted_offer_of_a_long_hold_was_not_made_in_the_future(self, sale_redis):
        item = make_loaded_item()
        offer = counters.Claim(uuid4(), "g:alice", 1)
        (made,) = counters.claim_many(
            item.pk, epoch=1, claims=[offer], offer_ms=3_600_000
        )
        note = counters.Note(made.stored(buyer=offer.buyer, quantity=1), made.seq)
        counters.journal(item.pk, offer.order_id, note, epoch=1)
        lose(sale_redis)

        recovery.open_fence()

        order = Order.objects.get(claim_id=offer.order_id)
        assert order.state == "held"
        assert order.created_at <= timezone.now()

    def test_a_note_that_finds_no_units_is_left_out_and_told(self, sale_redis, caplog):
        item = make_loaded_item(units=2)
        order_id = claim(item, 2)
        note = counters.journaled(item.pk)[order_id]
        counters.journal(item.pk, uuid4(), note, epoch=1)
        lose(sale_redis)
        recovery.open_fence()
        assert numbers(item)[:2] == (0, 2)
        assert "finds no units" in caplog.text
