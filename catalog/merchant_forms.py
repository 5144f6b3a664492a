"""What a merchant types: levels, counts, new products. Nothing is saved here."""

from collections.abc import Collection
from typing import Any, cast

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from catalog import level_files, levels, saved_views
from catalog.models import Category, Product, Stock


class QuantityField(forms.IntegerField):
    """A number of units, from 0 to the largest one the shop can mean."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("min_value", 0)
        kwargs.setdefault("max_value", settings.SHOP_MAX_QUANTITY)
        kwargs.setdefault("widget", UnfoldAdminIntegerFieldWidget())
        super().__init__(**kwargs)


class DialogForm(forms.Form):
    """A form of a dialog: over the page with scripts, a page of its own without."""

    def __init__(self, *args: Any, subject: Any = None, **kwargs: Any) -> None:
        self.subject = subject
        super().__init__(*args, **kwargs)

    def render_before_template(self) -> SafeString | str:
        """Refusals that belong to no field; the theme's dialog asks for this."""
        errors = self.non_field_errors()
        if not errors:
            return ""
        return render_to_string("merchant/_form_errors.html", {"errors": errors})


class ReasonForm(DialogForm):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Stands in the ledger for everybody to read."),
    )


class AdjustForm(ReasonForm):
    """A counted number for what is on hand, and the version it was counted against."""

    subject: Stock
    on_hand = QuantityField(label=_("Units counted"))
    version = forms.IntegerField(widget=forms.HiddenInput)
    field_order = ("on_hand", "reason", "version")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {
            "on_hand": self.subject.on_hand,
            "version": self.subject.version,
        }

    def offer_again(self, current: Stock, sentence: str) -> None:
        """Show what somebody else saved; submitting again means "mine after all"."""
        data = cast(QueryDict, self.data).copy()
        data["version"] = str(current.version)
        self.data = data
        self.add_error("on_hand", sentence)


class ReceiveForm(ReasonForm):
    quantity = QuantityField(label=_("Units that arrived"), min_value=1)
    field_order = ("quantity", "reason")


class NewProductForm(forms.ModelForm):  # type: ignore[type-arg]
    """A product with its first stock; empty levels come from the category or store."""

    on_hand = QuantityField(label=_("Units on hand"), initial=0)
    safety_threshold = QuantityField(
        label=_("Safety threshold"),
        required=False,
        help_text=_("Units never sold. Empty: taken from the category or the store."),
    )
    low_stock_level = QuantityField(
        label=_("Low-stock level"),
        required=False,
        help_text=_(
            "Sellable units at or below which it counts as low. Empty: inherited."
        ),
    )

    class Meta:
        model = Product
        fields = "__all__"  # noqa: DJ007  the admin's fieldsets decide


class CategoryForm(forms.ModelForm):  # type: ignore[type-arg]
    """Refuses a parent that lies inside the category itself."""

    class Meta:
        model = Category
        fields = "__all__"  # noqa: DJ007

    def clean_parent(self) -> Category | None:
        parent: Category | None = self.cleaned_data["parent"]
        parents = dict(Category.objects.values_list("pk", "parent_id"))
        above = parent.pk if parent else None
        seen: set[int] = set()
        while above is not None and above not in seen:
            if above == self.instance.pk:
                raise ValidationError(
                    _("“%(parent)s” lies inside this category. Choose another one."),
                    params={"parent": parent},
                )
            seen.add(above)
            above = parents.get(above)
        return parent


class ViewForm(forms.Form):
    """A name for what the stock desk shows now."""

    LONGEST = 1000
    name = forms.CharField(label=_("Name"), max_length=60)
    query = forms.CharField(required=False)
    is_shared = forms.BooleanField(label=_("For the whole team"), required=False)
    is_default = forms.BooleanField(label=_("Open the desk with it"), required=False)

    def __init__(
        self, *args: Any, taken: Collection[str] = frozenset(), **kwargs: Any
    ) -> None:
        self.taken = taken
        super().__init__(*args, **kwargs)

    def clean_query(self) -> str:
        query = saved_views.tidy(self.cleaned_data["query"])
        if len(query) > self.LONGEST:
            raise ValidationError(_("This search is too long to be kept."))
        return query

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name in self.taken:
            raise ValidationError(_("Another view has this name. Choose one more."))
        return name


class UploadForm(forms.Form):
    """A file to look at; nothing of it is written before somebody says so."""

    MOST_MEGABYTES = 20
    TOO_LARGE = _(
        "The file is larger than 20 MB. Import it in parts, or with "
        "“manage.py import_products” on the server."
    )
    file = forms.FileField(
        label=_("CSV or XLSX file"),
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.txt,.tsv,.xlsx"}),
    )

    def clean_file(self) -> "UploadedFile[Any]":
        file: UploadedFile[Any] = self.cleaned_data["file"]
        if (file.size or 0) > self.MOST_MEGABYTES * 1024 * 1024:
            raise ValidationError(self.TOO_LARGE)
        return file


class ImportForm(UploadForm):
    """A file of products."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["file"].help_text = _(
            "Our own export, a Shopify or a WooCommerce product export; up to 20 MB."
        )


class LevelFileForm(UploadForm):
    """A file of levels, and why they change."""

    MOST_MEGABYTES = 2
    TOO_LARGE = _(
        "The file is larger than 2 MB. Keep only the columns of the SKU and the "
        "levels, or split it."
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Stands with every change. Empty: the name of the file."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["file"].help_text = _("Up to 2 MB and %(lines)s lines.") % {
            "lines": f"{level_files.MOST_LINES:,}"
        }


class BulkLevelsForm(forms.Form):
    """One rule for a level of many products."""

    field = forms.ChoiceField(
        label=_("Level"), choices=levels.Field.choices, widget=UnfoldAdminSelectWidget()
    )
    operation = forms.ChoiceField(
        label=_("What to do"),
        choices=levels.Operation.choices,
        widget=UnfoldAdminSelectWidget(),
    )
    number = forms.IntegerField(
        label=_("Number"),
        required=False,
        min_value=-settings.SHOP_MAX_QUANTITY,
        max_value=settings.SHOP_MAX_QUANTITY,
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    reason = forms.CharField(
        label=_("Reason"), max_length=200, widget=UnfoldAdminTextInputWidget()
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        operation, number = cleaned.get("operation"), cleaned.get("number")
        if operation == levels.Operation.INHERIT or "number" in self.errors:
            return cleaned
        if number is None:
            self.add_error("number", _("Type a number."))
        elif number < 0 and operation != levels.Operation.ADD:
            self.add_error("number", _("Only adding takes a negative number."))
        return cleaned

    @property
    def rule(self) -> levels.Rule:
        typed = self.cleaned_data
        return levels.Rule(typed["field"], typed["operation"], typed["number"] or 0)
