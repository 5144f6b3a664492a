"""Buttons of sales and orders: run a service's step, say what it refused."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from unfold.dataclasses import UnfoldAction

from catalog import stock
from catalog.merchant_forms import DialogForm
from sales.counters import NotLoaded, Unsure
from sales.orders import NotPossible

Result = TypeVar("Result")


def attempt(form: DialogForm, step: Callable[[], Result]) -> Result | None:
    """Run a service's step; a refusal becomes a sentence on the form, and None."""
    try:
        return step()
    except NotPossible as refusal:
        form.add_error(None, str(refusal))
    except stock.InsufficientStock as refusal:
        left = refusal.shortages[0].sellable
        sentence = ngettext(
            "Only %(left)s unit is available in the shop.",
            "Only %(left)s units are available in the shop.",
            left,
        )
        form.add_error(None, sentence % {"left": left})
    except (NotLoaded, Unsure):
        form.add_error(
            None,
            _(
                "The sale's counters did not answer, so nothing is certain yet. Look "
                "at the live numbers, then try again; repeating is safe."
            ),
        )
    return None


def for_state(
    actions: list[UnfoldAction], prefix: str, state: str | None, table: dict[str, Any]
) -> list[UnfoldAction]:
    """The buttons that make sense in a state."""
    return [
        action
        for action in actions
        if state in table[action.action_name.removeprefix(prefix)]
    ]
