import re
from uuid import uuid4

import pytest
from django.urls import reverse

from sales import flash, sync
from sales.models import FlashEvent
from tests.factories import make_loaded_item
from tests.sales.admin.pages import order_page

pytestmark = [pytest.mark.django_db, pytest.mark.redis]

LIST = reverse("admin:sales_flashevent_changelist")


def test_event_names_its_buyer_in_short_and_leads_to_its_order(
    admin_client, sale_redis
):
    item = make_loaded_item()
    guest = f"g:{uuid4()}"
    flash.claim(item.pk, order_id=uuid4(), buyer=guest, quantity=1)
    sync.drain(item.pk)

    html = admin_client.get(LIST).content.decode()

    order = item.orders.get()
    assert f'href="{order_page(order)}">{order.number}<' in html
    assert f"guest {guest[2:10]}" in html
    assert guest not in html
    assert "Loaded" in html


def test_only_an_event_that_is_set_aside_says_so(admin_client, sale_redis):
    item = make_loaded_item()
    sync.drain(item.pk)
    first = item.events.first()

    def said():
        html = admin_client.get(LIST).content.decode()
        return len(re.findall(r">\s*set aside\s*<", html))

    assert said() == 0
    FlashEvent.objects.create(
        item=item, seq=99, epoch=item.epoch, kind="claim", at=first.at, is_poison=True
    )

    assert said() == 1
