"""Figures typed into the stock desk: read, compared with what is stored, written.

The page sends along what it showed. A box counts as touched against that, so a row
nobody touched is never written back; a touched box whose stored number is no longer
the shown one is a conflict: both are told, nothing is saved, and the choice names the
number it was made against, so that it cannot overwrite a third one.

A level is compared with itself: the row's version also moves with every unit sold, so a
sale would refuse all edits. A count is compared by the version, because a unit sold
while somebody counted makes the count doubtful; a version that moved with a level alone
does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.db import transaction
from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from catalog import stock, thresholds
from catalog.merchant_forms import QuantityField
from catalog.models import Stock
from catalog.thresholds import Levels

if TYPE_CHECKING:
    from django.contrib.auth.models import User

INHERITS = {
    "safety_threshold": "inherits_threshold",
    "low_stock_level": "inherits_low_stock_level",
}
LABELS = {
    "on_hand": gettext_lazy("On hand"),
    "safety_threshold": gettext_lazy("Safety threshold"),
    "low_stock_level": gettext_lazy("Low-stock level"),
}
CLOCKS_APART = timedelta(seconds=10)
MOST_ROWS = 200
LONGEST_KEY = 18  # digits that a key of the database can have


def text_of(row: Stock, name: str) -> str:
    """What the box of a figure shows: the number, nothing if it is inherited."""
    if name in INHERITS and getattr(row, INHERITS[name]):
        return ""
    return str(getattr(row, name))


def base_of(row: Stock, name: str) -> str:
    """What a typed number is compared against."""
    return str(row.version) if name == "on_hand" else text_of(row, name)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A figure that somebody else changed meanwhile; `by` and `at` say who and when."""

    row: Stock
    name: str
    mine: str
    by: str
    at: Any

    @property
    def label(self) -> Any:
        return LABELS[self.name]

    @property
    def theirs(self) -> str:
        return text_of(self.row, self.name)

    @property
    def number(self) -> int:
        return int(getattr(self.row, self.name))

    @property
    def choice(self) -> str:
        """The name of the radio buttons."""
        return f"{self.row.pk}-{self.name}_choice"

    @property
    def base(self) -> str:
        return base_of(self.row, self.name)


class RowForm(forms.Form):
    """What was typed into one row, held against the row as it is, under its lock."""

    on_hand = QuantityField(required=False)
    safety_threshold = QuantityField(required=False)
    low_stock_level = QuantityField(required=False)
    reason = forms.CharField(required=False, max_length=200)

    def __init__(self, data: QueryDict, *, row: Stock) -> None:
        super().__init__(data, prefix=str(row.pk))
        self.row = row
        self.touched = [name for name in LABELS if is_touched(data, row.pk, name)]
        self.conflicts: list[Conflict] = []
        for name in LABELS.keys() - set(self.touched):
            del self.fields[name]
        if "on_hand" in self.touched:
            self.fields["on_hand"].required = True

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name in self.touched:
            if self._is_stale(name):
                self._note_conflict(name)
        if "on_hand" in self.touched:
            self._check_count(cleaned)
        return cleaned

    def typed(self, name: str) -> str:
        return str(self.data.get(self.add_prefix(name), "")).strip()

    def _is_stale(self, name: str) -> bool:
        """Whether somebody else has changed the figure since it was shown."""
        if self._base(name) == base_of(self.row, name):
            return False
        shown = self.data.get(self.add_prefix(f"{name}_shown"))
        if name != "on_hand" or shown != str(self.row.on_hand):
            return True
        return self._has_moved()

    def _has_moved(self) -> bool:
        """Whether units came or went since about when the page was made."""
        try:
            seen = parse_datetime(self.data.get("seen", ""))
            if seen is None or is_naive(seen):
                return True
            since = seen - CLOCKS_APART
        except (ValueError, OverflowError):
            return True
        moved = self.row.product.movements.exclude(on_hand_delta=0)
        return moved.filter(created_at__gt=since).exists()

    def _base(self, name: str) -> str:
        """The number the merchant looked at: on the page, or in the question after."""
        choice, _colon, base = self.data.get(
            f"{self.row.pk}-{name}_choice", ""
        ).partition(":")
        if choice == "mine":
            return str(base)
        sent = "version" if name == "on_hand" else f"{name}_shown"
        return str(self.data.get(self.add_prefix(sent), ""))

    def _note_conflict(self, name: str) -> None:
        by, at = _last_change(self.row, name)
        conflict = Conflict(self.row, name, self.typed(name), by, at)
        self.conflicts.append(conflict)
        self.add_error(
            name,
            _(
                "Somebody saved %(theirs)s meanwhile, you typed %(mine)s. "
                "Nothing was changed."
            )
            % {"theirs": in_words(conflict.theirs), "mine": in_words(conflict.mine)},
        )

    def _check_count(self, cleaned: dict[str, Any]) -> None:
        promised = self.row.reserved + self.row.allocated
        if cleaned.get("on_hand") is not None and cleaned["on_hand"] < promised:
            self.add_error(
                "on_hand",
                _(
                    "%(promised)s units are promised to orders and flash sales, so at "
                    "least that many must be on hand."
                )
                % {"promised": promised},
            )
        if not cleaned.get("reason"):
            self.add_error("reason", _("Say why the count changes."))

    @property
    def levels(self) -> Levels | None:
        """What the product is told, if a level was touched."""
        told = {
            name: self.cleaned_data[name] for name in INHERITS if name in self.touched
        }
        return Levels(**told) if told else None


def is_touched(data: QueryDict, pk: int, name: str) -> bool:
    """Whether a box holds something else than the page showed, and was not given up."""
    typed = data.get(f"{pk}-{name}")
    if typed is None or data.get(f"{pk}-{name}_choice", "").startswith("theirs:"):
        return False
    return bool(typed.strip() != data.get(f"{pk}-{name}_shown", ""))


@dataclass(slots=True)
class Saved:
    """What came of it: everything is written, or `refused` rows are shown again."""

    changed: int = 0
    batch: UUID | None = None
    refused: Mapping[int, RowForm] = field(default_factory=dict)

    @property
    def conflicts(self) -> list[Conflict]:
        return [c for form in self.refused.values() for c in form.conflicts]


def in_words(text: str) -> str:
    """A level for people: nothing means that it is inherited."""
    return text or _("“inherit”")


@transaction.atomic
def save(data: QueryDict, *, actor: "User") -> Saved:
    """Write every touched figure of the page, or none of them.

    Locks the defaults and the touched rows, in the one order everybody uses, before
    anything is compared.
    """
    asked = data.getlist("row")[:MOST_ROWS]
    pks = [int(pk) for pk in asked if pk.isdecimal() and len(pk) <= LONGEST_KEY]
    touched = [pk for pk in pks if any(is_touched(data, pk, name) for name in LABELS)]
    if not touched:
        return Saved()
    thresholds.hold()
    rows = stock.lock(touched)
    typed = {pk: RowForm(data, row=row) for pk, row in rows.items()}
    if not all([form.is_valid() for form in typed.values()]):
        return Saved(refused=typed)
    return _write(typed.values(), actor)


def _write(typed: Iterable[RowForm], actor: "User") -> Saved:
    saved = Saved()
    levels = {form.row.pk: told for form in typed if (told := form.levels)}
    if levels:
        saved.batch = thresholds.change(levels, actor=actor)
    for form in typed:
        saved.changed += 1
        if "on_hand" in form.touched:
            note = stock.Note(reason=form.cleaned_data["reason"], actor=actor)
            stock.adjust(form.row.pk, on_hand=form.cleaned_data["on_hand"], note=note)
    return saved


def _last_change(row: Stock, name: str) -> tuple[str, Any]:
    """Who changed a figure last, and when; nobody for an order or a job."""
    product = row.product
    changes: Any = product.threshold_changes
    if name == "on_hand":
        changes = product.movements.exclude(on_hand_delta=0)
    last = changes.select_related("actor").first()
    if last is None:
        return "", None
    return str(last.actor or ""), last.created_at
