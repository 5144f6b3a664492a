"""What a browser asks of a waiting room, and a room that is full."""

from uuid import uuid4

from sales import sync, waiting_room

HTMX = {"HX-Request": "true"}


def room_url(item):
    return f"/flash/{item.sale.slug}/waiting-room/"


def join(client, item, *, htmx=True, **fields):
    data = {"wants": "join", **fields}
    return client.post(room_url(item), data, headers=HTMX if htmx else {})


def look(client, item, state=""):
    return client.get(room_url(item), {"state": state}, headers=HTMX)


def page(client, item):
    return client.get(item.sale.get_absolute_url())


def claim(client, item, *, order_id=None, quantity=1, htmx=False, **fields):
    fields |= {"order_id": order_id or uuid4(), "quantity": quantity}
    fields["opens"] = sync.milliseconds(item.opens_at)
    fields["closes"] = sync.milliseconds(item.closes_at)
    url = f"/flash/{item.sale.slug}/{item.pk}/claim/"
    return client.post(url, fields, headers=HTMX if htmx else {})


def live_url(item, state):
    opens, closes = (sync.milliseconds(at) for at in (item.opens_at, item.closes_at))
    path = f"/flash/{item.sale.slug}/{item.pk}/live/"
    return f"{path}?state={state}&opens={opens}&closes={closes}"


def full_room(item):
    """Somebody else is inside, with as many as there are units."""
    known = waiting_room.of_sale(item.sale_id)
    for number in range(item.units):
        assert waiting_room.join(known, f"g:other-{number}").state == "inside"
