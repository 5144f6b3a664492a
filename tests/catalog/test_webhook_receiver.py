"""The receiver in `examples/` understands what the shop sends, and nothing else."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from catalog import outbox
from catalog.models import WebhookEndpoint
from examples.webhook_receiver import BadSignature, read_event

SECRET = "the endpoint's own"
BODY = json.dumps({"id": "1", "type": "test", "data": {}}).encode()
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


def sign(secret=SECRET, *, now=None, **fields):
    endpoint = WebhookEndpoint(url="https://example.com/", secret=secret, **fields)
    return outbox.signature(endpoint, BODY, now or timezone.now())


def test_an_event_of_the_shop_is_read():
    assert read_event(BODY, sign(), SECRET)["type"] == "test"


def test_for_a_day_after_a_change_both_secrets_fit():
    until = timezone.now() + timedelta(days=1)
    signature = sign("new", old_secret=SECRET, old_secret_until=until)

    assert read_event(BODY, signature, SECRET)
    assert read_event(BODY, signature, "new")


HOURS = timedelta(hours=6)
REFUSED = {
    "nothing": lambda: "",
    "empty": lambda: "t=,v1=",
    "no time": lambda: "v1=00",
    "no signature": lambda: "t=1733961600",
    "not ASCII": lambda: "t=1733961600,v1=\u00e9",
    "long time": lambda: f"t={'1' * 5000},v1=00",
    "other secret": lambda: sign("another"),
    "other time": lambda: sign().replace("t=1", "t=2"),
    "too old": lambda: sign(now=timezone.now() - HOURS),
    "too new": lambda: sign(now=timezone.now() + HOURS),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_from_the_shop_or_not_of_now_is_refused(case):
    with pytest.raises(BadSignature):
        read_event(BODY, REFUSED[case](), SECRET)


def test_a_changed_body_is_refused():
    with pytest.raises(BadSignature):
        read_event(BODY.replace(b"test", b"paid"), sign(), SECRET)


def test_the_page_names_every_kind_of_event():
    page = PAGE.read_text(encoding="utf-8")

    assert all(f"| `{kind}` |" in page for kind in outbox.KINDS)
