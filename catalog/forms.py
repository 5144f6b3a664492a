"""What shoppers type to find products."""

from typing import Any

from django import forms
from django.conf import settings
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from catalog import search
from catalog.models import ProductQuerySet
from catalog.status import StockStatus


class TellMeForm(forms.Form):
    """Who wants to hear when a product is back."""

    email = forms.EmailField(
        max_length=254,
        error_messages={
            "required": _("We need an address to write to."),
            "invalid": _("This is no e-mail address yet; look at it once more."),
        },
    )


class Sort(TextChoices):
    BEST = "best", _("Best match")
    NAME = "name", _("Name")
    NEWEST = "newest", _("Newest first")
    CHEAPEST = "cheapest", _("Price: low to high")
    DEAREST = "dearest", _("Price: high to low")


COLUMNS: dict[str, str] = {
    Sort.BEST: "-relevance",
    Sort.NAME: "name",
    Sort.NEWEST: "-created_at",
    Sort.CHEAPEST: "price",
    Sort.DEAREST: "-price",
}


class PriceField(forms.DecimalField):
    def __init__(self, *, label: Any) -> None:
        super().__init__(
            label=label,
            required=False,
            min_value=0,
            max_value=settings.SHOP_MAX_PRICE,
            decimal_places=2,
            widget=forms.NumberInput(
                attrs={"inputmode": "decimal", "step": "0.01", "placeholder": "0.00"}
            ),
            error_messages={
                "invalid": _("Type the price as a number, such as 25 or 9.99."),
                "min_value": _("A price cannot be below zero."),
                "max_value": _("That price is higher than any we have."),
                "max_decimal_places": _("Type at most two digits after the point."),
            },
        )


class ProductFilterForm(forms.Form):
    """Search words, availability, price range and order of a product list."""

    q = forms.CharField(label=_("Search"), required=False, max_length=100)
    available = forms.BooleanField(label=_("Only what is in stock"), required=False)
    price_min = PriceField(label=_("Price from"))
    price_max = PriceField(label=_("Price to"))
    sort = forms.ChoiceField(label=_("Sort by"), choices=Sort.choices, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.data.get("q", "").strip():
            self.fields["sort"].choices = [  # type: ignore[attr-defined]
                choice for choice in Sort.choices if choice[0] != Sort.BEST
            ]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        low, high = values.get("price_min"), values.get("price_max")
        if low is not None and high is not None and low > high:
            self.add_error(
                "price_max", _("The highest price must not be below the lowest one.")
            )
        return values

    @property
    def sort_value(self) -> str:
        """The order to use: what was chosen, else the best one for what is asked."""
        words = self.cleaned_data.get("q")
        return self.cleaned_data.get("sort") or (Sort.BEST if words else Sort.NAME)

    @property
    def column(self) -> str:
        return COLUMNS[self.sort_value]

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the order was chosen."""
        names = ("q", "available", "price_min", "price_max")
        return any(
            self.cleaned_data.get(name) not in (None, "", False) for name in names
        )

    def apply(self, products: ProductQuerySet) -> ProductQuerySet:
        """The products that pass every valid field."""
        chosen = self.cleaned_data
        if chosen.get("available"):
            products = products.exclude(stock__status=StockStatus.OUT)
        if chosen.get("price_min") is not None:
            products = products.filter(price__gte=chosen["price_min"])
        if chosen.get("price_max") is not None:
            products = products.filter(price__lte=chosen["price_max"])
        if chosen.get("q"):
            if self.sort_value == Sort.BEST:
                return search.ranked(products, chosen["q"])
            return search.matching(products, chosen["q"])
        return products
