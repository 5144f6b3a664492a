"""The pictures of a product in the dashboard: add, describe, order, delete."""

from typing import Any

from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline

from catalog import gallery
from catalog.columns import display
from catalog.models import ProductPicture


class PictureFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """Pictures are put in order when they are saved."""

    def save(self, commit: bool = True) -> list[ProductPicture]:
        saved: list[ProductPicture] = super().save(commit)
        if commit:
            gallery.arrange(self.instance.pk)
        return saved


class PictureInline(TabularInline):  # type: ignore[misc]
    """The pictures of a product's page, in their order; dragging a row moves it."""

    model = ProductPicture
    formset = PictureFormSet
    fields = ("preview", "file", "alt", "position")
    readonly_fields = ("preview",)
    extra = 0
    hide_title = True
    ordering_field = "position"

    @display(description=gettext_lazy("Preview"))
    def preview(self, picture: ProductPicture) -> str:
        if not picture.file:
            return ""
        return format_html(
            '<img src="{}" alt="" width="64" height="48" loading="lazy">',
            picture.file.url,
        )

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """In a table the heading is no label yet."""
        formfield = super().formfield_for_dbfield(db_field, request, **kwargs)
        if formfield is not None:
            formfield.widget.attrs["aria-label"] = str(formfield.label).capitalize()
        return formfield

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(f"catalog.{'change' if obj else 'add'}_product")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("catalog.change_product")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("catalog.change_product")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("catalog.view_product")
