"""What happened to an order, for its page."""

from dataclasses import dataclass
from datetime import datetime

from sales.admin.events import KINDS
from sales.models import FlashEvent, Order


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline; `actor` is the e-mail address of somebody of staff."""

    at: datetime
    what: str
    note: str = ""
    actor: str = ""


def of(order: Order) -> list[Step]:
    """The order's own steps, and those of its claim as the sale Redis decided them."""
    own = [
        Step(
            event.created_at,
            event.get_state_display(),
            event.note,
            str(event.actor or ""),
        )
        for event in order.events.select_related("actor")
    ]
    claimed = [
        Step(event.at, str(KINDS.get(event.kind, event.kind)))
        for event in FlashEvent.objects.filter(order_id=order.pk).order_by("seq")
    ]
    return sorted(own + claimed, key=lambda step: step.at)
