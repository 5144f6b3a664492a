"""What shoppers type to buy: quantities, addresses, and the id of their order."""

from typing import Any

from babel.core import Locale
from django import forms
from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from sales.orders import Contact


class QuantityField(forms.IntegerField):
    def __init__(self, *, minimum: int = 1) -> None:
        most = settings.SHOP_MAX_QUANTITY
        super().__init__(
            label=_("Quantity"),
            min_value=minimum,
            max_value=most,
            error_messages={
                "required": _("Type how many you would like."),
                "invalid": _("Type the quantity as a whole number, such as 2."),
                "min_value": _("The quantity must be at least %(limit_value)s."),
                "max_value": _("That is more than anybody can order here."),
            },
        )


class AddForm(forms.Form):
    quantity = QuantityField()


class CartLineForm(forms.Form):
    quantity = QuantityField(minimum=0)


class ClaimForm(forms.Form):
    """A claim: how many, under the order id that the page was made with."""

    order_id = forms.UUIDField(
        error_messages={
            "required": _("This form is incomplete. Here is a new one; try again."),
            "invalid": _("This form is damaged. Here is a new one; try again."),
        }
    )
    quantity = QuantityField()
    instead_of = forms.UUIDField(
        required=False, help_text=_("The visitor's own claim that it replaces.")
    )


class WaitForm(forms.Form):
    """A place in a waiting list; who is signed in need not type an address."""

    quantity = QuantityField()
    email = forms.EmailField(
        max_length=254,
        error_messages={
            "required": _("Type the e-mail address that we write to."),
            "invalid": _("Type an e-mail address such as you@example.com."),
        },
    )

    def __init__(self, *args: Any, needs_email: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].required = needs_email


class RefusalForm(forms.Form):
    """A refusal that came back in the address after a claim without scripts."""

    item = forms.IntegerField()
    refused = forms.RegexField(r"^[a-z_]{3,20}$")
    left = forms.IntegerField(required=False, min_value=0)


class WindowForm(forms.Form):
    """An item's times and prices as the page says; used if the cache cannot tell."""

    opens = forms.IntegerField(min_value=0, max_value=2**42)
    closes = forms.IntegerField(min_value=0, max_value=2**42)
    price = forms.DecimalField(required=False, min_value=0, max_digits=9)
    was = forms.DecimalField(required=False, min_value=0, max_digits=9)


class PollForm(WindowForm):
    """What a page that polls an item shows already."""

    state = forms.CharField(max_length=20, required=False)
    order_id = forms.UUIDField(required=False)


class RoomForm(forms.Form):
    """What a visitor of the waiting room wants, and what their page shows already."""

    wants = forms.ChoiceField(
        required=False, choices=[("join", "join"), ("leave", "leave")]
    )
    state = forms.CharField(max_length=20, required=False)


class AddressForm(forms.Form):
    """Where goods may go."""

    full_name = forms.CharField(
        label=_("Full name"),
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
        error_messages={"required": _("Who shall receive the parcel?")},
    )
    address = forms.CharField(
        label=_("Street and number"),
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "street-address"}),
        error_messages={"required": _("Where shall the parcel go?")},
    )
    postal_code = forms.CharField(
        label=_("Postal code"),
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "postal-code"}),
        error_messages={"required": _("Type the postal code of the place.")},
    )
    city = forms.CharField(
        label=_("City"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "address-level2"}),
        error_messages={"required": _("Type the name of the place.")},
    )
    country = forms.ChoiceField(
        label=_("Country"),
        widget=forms.Select(attrs={"autocomplete": "country"}),
        error_messages={
            "required": _("Choose the country."),
            "invalid_choice": _("Choose a country from the list."),
        },
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", _("Choose a country")), *countries()]
        self.fields["country"].choices = choices  # type: ignore[attr-defined]
        for name in self.errors if self.is_bound else ():
            if name in self.fields:
                self.fields[name].widget.attrs["aria-invalid"] = "true"


ADDRESS_FIELDS = tuple(AddressForm.base_fields)


class ContactForm(AddressForm):
    """Who receives the goods, and where."""

    field_order = ("email", *ADDRESS_FIELDS)
    email = forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        help_text=_("For the confirmation and nothing else."),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
        error_messages={"required": _("We need an address to write to.")},
    )
    keep = forms.BooleanField(
        label=_("Keep this address in my account"), required=False
    )

    @property
    def contact(self) -> Contact:
        typed = self.cleaned_data
        names = ("email", *ADDRESS_FIELDS)
        return Contact(**{name: typed[name] for name in names})


class CheckoutForm(ContactForm):
    order_id = forms.UUIDField(widget=forms.HiddenInput)


class OutcomeForm(forms.Form):
    """What the test payment provider is to do."""

    outcome = forms.ChoiceField(
        choices=[
            ("paid", _("Approve")),
            ("twice", _("Paid, and told twice")),
            ("declined", _("Decline")),
            ("expired", _("Let it expire")),
        ]
    )


def countries() -> list[tuple[str, str]]:
    """Country codes and names in the current language, in the order of the names."""
    locale = Locale.parse(get_language() or settings.LANGUAGE_CODE, sep="-")
    named = [
        (code, name)
        for code, name in locale.territories.items()
        if len(code) == 2 and code.isalpha() and code not in NO_COUNTRIES
    ]
    return sorted(named, key=lambda pair: pair[1])


NO_COUNTRIES = {"EU", "EZ", "UN", "XA", "XB", "ZZ", "QO", "AC", "CP", "DG", "EA", "IC"}
NO_COUNTRIES |= {"TA", "CQ"}
