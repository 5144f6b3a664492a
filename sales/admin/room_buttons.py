"""The switch of a sale's waiting room: one button while off, one while on."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.dataclasses import UnfoldAction

from catalog.merchant_forms import DialogForm
from catalog.merchant_views import actor_of, button
from sales import flash, waiting_room
from sales.admin.steps import attempt
from sales.models import FlashSale

BUTTONS = {"open_room": flash.RUNNING, "close_room": flash.RUNNING}


class RoomButtons:
    """Open a waiting room before a running sale, or let everybody in."""

    @button(
        gettext_lazy("Open a waiting room"),
        permission="change",
        icon="groups",
        sentence=gettext_lazy(
            "From now on shoppers go in one after the other, as many as there are "
            "units. Who holds units already keeps them."
        ),
    )
    def open_room(self, request: HttpRequest, form: DialogForm, sale: FlashSale) -> Any:
        done = _turn(request, form, sale, is_on=True)
        return done and _("“%(sale)s” has a waiting room now.") % {"sale": sale}

    @button(
        gettext_lazy("Close the waiting room"),
        permission="change",
        icon="door_open",
        sentence=gettext_lazy("Everybody can buy at once; nobody waits any more."),
        submit=gettext_lazy("Let everybody in"),
    )
    def close_room(
        self, request: HttpRequest, form: DialogForm, sale: FlashSale
    ) -> Any:
        done = _turn(request, form, sale, is_on=False)
        return done and _("“%(sale)s” has no waiting room any more.") % {"sale": sale}


def fitting(actions: list[UnfoldAction], sale: FlashSale | None) -> list[UnfoldAction]:
    """The buttons without the one that would change nothing."""
    idle = "open_room" if sale and sale.has_waiting_room else "close_room"
    return [one for one in actions if not one.action_name.endswith(idle)]


def _turn(
    request: HttpRequest, form: DialogForm, sale: FlashSale, *, is_on: bool
) -> bool | None:
    def turn() -> bool:
        waiting_room.turn(sale.pk, is_on=is_on, actor=actor_of(request))
        return True

    return attempt(form, turn)
