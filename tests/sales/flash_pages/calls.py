"""What a browser asks of the pages of a flash sale."""

from uuid import uuid4

from sales import sync

HTMX = {"HX-Request": "true"}


def live_url(item, state="open", **query):
    opens, closes = (sync.milliseconds(at) for at in (item.opens_at, item.closes_at))
    extra = "".join(f"&{name}={value}" for name, value in query.items())
    return (
        f"/flash/{item.sale.slug}/{item.pk}/live/"
        f"?state={state}&opens={opens}&closes={closes}{extra}"
    )


def claim(client, item, *, order_id=None, quantity=1, htmx=False, **fields):
    fields |= {"order_id": order_id or uuid4(), "quantity": quantity}
    fields["opens"] = sync.milliseconds(item.opens_at)
    fields["closes"] = sync.milliseconds(item.closes_at)
    url = f"/flash/{item.sale.slug}/{item.pk}/claim/"
    return client.post(url, fields, headers=HTMX if htmx else {})
