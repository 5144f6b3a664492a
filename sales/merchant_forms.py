"""What a merchant types about sales and orders. Nothing is saved here."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.forms import PaginationInlineFormSet
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from catalog.merchant_forms import DialogForm, QuantityField, ReasonForm
from sales import orders
from sales.models import PRICE_RANGE, FlashSale, FlashSaleItem, ItemState


class FlashSaleForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = FlashSale
        fields = ("name", "slug", "opens_at", "closes_at", "has_waiting_room")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        opens_at, closes_at = cleaned.get("opens_at"), cleaned.get("closes_at")
        if opens_at and closes_at and closes_at <= opens_at:
            self.add_error("closes_at", _("The sale must close after it opens."))
        return cleaned


class ItemFormSet(PaginationInlineFormSet):  # type: ignore[misc]
    """The products of a sale; no product may be in two sales at the same time."""

    def clean(self) -> None:
        super().clean()
        kept = [form for form in self._kept() if form.cleaned_data.get("product")]
        if any(form.instance.state != ItemState.WAITING for form in kept):
            raise ValidationError(
                _(
                    "The units of this sale are being loaded right now, so it can no "
                    "longer be edited. Reload the page to see it."
                )
            )
        others = self._others([form.cleaned_data["product"].pk for form in kept])
        for form in kept:
            if other := others.get(form.cleaned_data["product"].pk):
                form.add_error("product", _overlap(other))

    def _kept(self) -> Iterator[Any]:
        for form in self.forms:
            if form.is_valid() and not self._should_delete_form(form):
                yield form

    def _others(self, product_ids: list[int]) -> dict[int, FlashSaleItem]:
        """Items of other sales whose window overlaps this one's, by product."""
        opens_at: datetime | None = self.instance.opens_at
        closes_at: datetime | None = self.instance.closes_at
        if not (opens_at and closes_at and product_ids):
            return {}
        items = FlashSaleItem.objects.filter(
            product__in=product_ids, opens_at__lt=closes_at, closes_at__gt=opens_at
        ).exclude(state=ItemState.SETTLED)
        if self.instance.pk:
            items = items.exclude(sale=self.instance)
        return {item.product_id: item for item in items.select_related("sale")}


def _overlap(other: FlashSaleItem) -> ValidationError:
    return ValidationError(
        _(
            "This product is in the sale “%(sale)s” from %(opens)s to %(closes)s UTC. "
            "Choose other times, or another product."
        ),
        params={
            "sale": other.sale.name,
            "opens": f"{other.opens_at:%Y-%m-%d %H:%M}",
            "closes": f"{other.closes_at:%Y-%m-%d %H:%M}",
        },
    )


class MomentField(forms.DateTimeField):
    """A date and time in the browser's own picker; UTC, as everywhere."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput(
            {"class": " ".join(INPUT_CLASSES)}, format="%Y-%m-%dT%H:%M"
        )
        widget.input_type = "datetime-local"
        super().__init__(widget=widget, **kwargs)


class ItemField(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: FlashSaleItem) -> str:
        return obj.product.name


class ItemForm(ReasonForm):
    """A change of one item of a running sale."""

    subject: FlashSale
    item = ItemField(
        FlashSaleItem.objects.none(),
        label=_("Product"),
        empty_label=None,
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["item"]
        assert isinstance(field, ItemField)
        field.queryset = self.subject.items.select_related("product")


class UnitsForm(ItemForm):
    DIRECTIONS = (
        ("add", _("Add units from the shop")),
        ("take", _("Take unclaimed units back")),
    )
    direction = forms.ChoiceField(
        label=_("What to do"), choices=DIRECTIONS, widget=UnfoldAdminSelectWidget()
    )
    quantity = QuantityField(label=_("Units"), min_value=1)
    field_order = ("item", "direction", "quantity", "reason")

    @property
    def delta(self) -> int:
        quantity = int(self.cleaned_data["quantity"])
        return quantity if self.cleaned_data["direction"] == "add" else -quantity


class PriceForm(ItemForm):
    price = forms.DecimalField(
        label=_("New price"),
        max_digits=9,
        decimal_places=2,
        validators=PRICE_RANGE,
        widget=UnfoldAdminDecimalFieldWidget(),
        help_text=_("For everybody who claims from now on; open holds keep theirs."),
    )
    field_order = ("item", "price", "reason")


class LimitForm(ItemForm):
    reason = None  # type: ignore[assignment]
    limit = QuantityField(label=_("Units per buyer in the whole sale"), min_value=1)
    field_order = ("item", "limit")


class ClosingForm(DialogForm):
    subject: FlashSale
    closes_at = MomentField(label=_("Closes at (UTC)"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {"closes_at": self.subject.closes_at}


class CloneForm(DialogForm):
    """A copy of a sale as a draft at another time; the length stays the same."""

    subject: FlashSale
    name = forms.CharField(
        label=_("Name"), max_length=120, widget=UnfoldAdminTextInputWidget()
    )
    opens_at = MomentField(label=_("Opens at (UTC)"))
    has_waiting_room = forms.BooleanField(
        label=_("Waiting room"), required=False, widget=UnfoldBooleanWidget()
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {
            "name": self.subject.name,
            "has_waiting_room": self.subject.has_waiting_room,
        }

    def clean_opens_at(self) -> datetime:
        opens_at: datetime = self.cleaned_data["opens_at"]
        if opens_at <= timezone.now():
            raise ValidationError(_("Choose a time that is still to come."))
        return opens_at


class ResendForm(DialogForm):
    """Which mail was the latest when the dialog opened: so two clicks are one mail."""

    latest = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {"latest": orders.latest_mail(self.subject)}


class RefundForm(ReasonForm):
    restock = forms.BooleanField(
        label=_("The goods come back: put the units on sale again"),
        required=False,
        widget=UnfoldBooleanWidget(),
    )
    field_order = ("restock", "reason")
