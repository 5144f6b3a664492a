"""The stock desk, products and their defaults, and the ledgers nobody can edit.

Quantities and levels are written by `catalog.stock` and `catalog.thresholds` alone;
no page here saves a Stock row.
"""

from typing import Any, cast
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db import models, transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from import_export.admin import ExportMixin
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
)
from unfold.contrib.import_export.forms import ExportForm
from unfold.enums import ActionVariant
from unfold.paginator import InfinitePaginator

from catalog import merchant_views, search, stock, thresholds
from catalog.columns import (
    BADGES,
    KIND_BADGES,
    cause_link,
    display,
    figure,
    moment,
    moved,
    status_badge,
)
from catalog.exports import ProductResource
from catalog.filters import (
    CategoryFilter,
    FlashFilter,
    OriginFilter,
    ProductStatusFilter,
    StatusFilter,
    StockCategoryFilter,
)
from catalog.merchant_forms import (
    AdjustForm,
    CategoryForm,
    LevelsForm,
    NewProductForm,
    ReceiveForm,
)
from catalog.models import (
    Category,
    Product,
    StatusChange,
    Stock,
    StockMovement,
    Store,
    ThresholdChange,
)
from catalog.thresholds import Levels


def actor_of(request: HttpRequest) -> User:
    """Who is signed in; the dashboard lets nobody else in."""
    return cast(User, request.user)


def outcome(batch: UUID) -> str:
    """What a change of defaults did, in a sentence."""
    products = ThresholdChange.objects.filter(batch=batch).values("product")
    changed = products.count()
    flipped = StatusChange.objects.filter(
        product__in=products, cause=f"thresholds:{batch}"
    ).count()
    first = ngettext(
        "%(count)s product took over the new numbers",
        "%(count)s products took over the new numbers",
        changed,
    ) % {"count": changed}
    second = ngettext(
        "%(count)s changed its status.", "%(count)s changed their status.", flipped
    ) % {"count": flipped}
    return f"{first}, {second}"


# -- Products ---------------------------------------------------------------------


@admin.register(Product)
class ProductAdmin(SimpleHistoryAdmin, ExportMixin, ModelAdmin):  # type: ignore[misc]
    """Products: what shoppers see of them, and a look at their stock."""

    list_display = (
        "name",
        "sku",
        "category",
        "price",
        "status",
        "sellable",
        "is_published",
    )
    list_filter = (ProductStatusFilter, CategoryFilter, "is_published")
    list_filter_submit = True
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("sku",)
    search_help_text = gettext_lazy("Words of the name, the SKU or the vendor")
    ordering = ("name", "pk")
    prepopulated_fields = {"slug": ("name",), "handle": ("name",)}
    autocomplete_fields = ("category",)
    readonly_fields = ("stock_now",)
    actions = ("publish", "unpublish")
    actions_list = ("import_file",)
    resource_classes = (ProductResource,)
    export_form_class = ExportForm
    fieldsets = (
        (None, {"fields": ("name", "sku", ("price", "compare_at_price"), "category")}),
        (gettext_lazy("Stock"), {"fields": ("stock_now",)}),
        (
            gettext_lazy("In the shop"),
            {
                "fields": (
                    "is_published",
                    "description",
                    "vendor",
                    "picture",
                    ("slug", "handle"),
                )
            },
        ),
    )
    add_fieldsets = (
        fieldsets[0],
        (
            gettext_lazy("Stock"),
            {"fields": ("on_hand", ("safety_threshold", "low_stock_level"))},
        ),
        fieldsets[2],
    )

    @display(description=gettext_lazy("Status"), ordering="stock__status", label=BADGES)
    def status(self, product: Product) -> tuple[str, Any]:
        return status_badge(product.stock.status)

    @display(description=gettext_lazy("Sellable"), ordering="stock__sellable")
    def sellable(self, product: Product) -> int:
        return int(product.stock.sellable)

    @display(description=gettext_lazy("Now"))
    def stock_now(self, product: Product) -> str:
        context = {"row": product.stock, "status": status_badge(product.stock.status)}
        context["type"] = BADGES[product.stock.status]
        return render_to_string("merchant/_stock_now.html", context)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        return search.matching(queryset, search_term), False  # type: ignore[arg-type]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Product]:
        rows = super().get_queryset(request)
        return rows.select_related("category", "stock")  # type: ignore[no-any-return]

    def get_form(
        self, request: HttpRequest, obj: Product | None = None, **kwargs: Any
    ) -> type[ModelForm[Product]]:
        if obj is None:
            kwargs["form"] = NewProductForm
        return super().get_form(request, obj, **kwargs)  # type: ignore[no-any-return]

    def save_model(
        self, request: HttpRequest, obj: Product, form: Any, change: bool
    ) -> None:
        if change:
            super().save_model(request, obj, form, change)
            if "category" in form.changed_data:
                thresholds.change(
                    {obj.pk: Levels()},
                    actor=actor_of(request),
                    reason="category changed",
                )
            return
        thresholds.hold()
        super().save_model(request, obj, form, change)
        self._open_stock(obj, form.cleaned_data, actor_of(request))

    def _open_stock(self, product: Product, typed: dict[str, Any], actor: User) -> None:
        defaults = thresholds.Defaults()

        def level(field: str) -> int:
            if typed[field] is not None:
                return int(typed[field])
            return defaults.of(product.category_id, field).number

        stock.open_stock(
            product,
            on_hand=typed["on_hand"],
            safety_threshold=level("safety_threshold"),
            low_stock_level=level("low_stock_level"),
            inherits_threshold=typed["safety_threshold"] is None,
            inherits_low_stock_level=typed["low_stock_level"] is None,
            note=stock.Note(reason="new product", actor=actor),
        )

    def has_import_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(merchant_views.IMPORT_PERMISSIONS)

    @merchant_views.page(
        gettext_lazy("Import"), permission="import", icon="upload", path="import"
    )
    def import_file(self, request: HttpRequest) -> HttpResponse:
        return merchant_views.import_products(self, request)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)  # type: ignore[no-any-return]

    def has_delete_permission(
        self, request: HttpRequest, obj: Product | None = None
    ) -> bool:
        """Nobody: the ledger must stay. `delete_view` says what to do instead."""
        return False

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_change_permission(request):
            return super().delete_view(request, object_id, extra_context)  # type: ignore[no-any-return]
        messages.warning(
            request,
            _(
                "A product with stock history cannot be deleted. Untick “Is published” "
                "instead: shoppers no longer see it, and its history stays."
            ),
        )
        return redirect("admin:catalog_product_change", object_id)

    @admin.action(description=gettext_lazy("Show in the shop"), permissions=["change"])
    def publish(self, request: HttpRequest, queryset: models.QuerySet[Product]) -> None:
        self._set_published(request, queryset, True)

    @admin.action(
        description=gettext_lazy("Take out of the shop"), permissions=["change"]
    )
    def unpublish(
        self, request: HttpRequest, queryset: models.QuerySet[Product]
    ) -> None:
        self._set_published(request, queryset, False)

    @transaction.atomic
    def _set_published(
        self, request: HttpRequest, queryset: models.QuerySet[Product], value: bool
    ) -> None:
        pks = queryset.order_by("pk").values_list("pk", flat=True)
        rows = Product.objects.select_for_update().filter(pk__in=list(pks))
        changed = 0
        for product in rows.exclude(is_published=value).order_by("pk"):
            product.is_published = value
            product.save(update_fields=["is_published", "updated_at"])
            changed += 1
        sentence = ngettext(
            "%(count)s product changed.", "%(count)s products changed.", changed
        )
        messages.success(request, sentence % {"count": changed})


# -- Stock desk -------------------------------------------------------------------


@admin.register(Stock)
class StockAdmin(ModelAdmin):  # type: ignore[misc]
    """The stock desk: every number, the two levels edited in place."""

    list_display = (
        "product_and_sku",
        figure("on_hand", gettext_lazy("On hand")),
        figure("reserved", gettext_lazy("Reserved")),
        figure("allocated", gettext_lazy("Allocated")),
        figure("available", gettext_lazy("Available")),
        figure("sellable", gettext_lazy("Sellable")),
        "state",
        "safety_threshold",
        "low_stock_level",
    )
    list_editable = ("safety_threshold", "low_stock_level")
    list_filter = (StatusFilter, StockCategoryFilter, OriginFilter, FlashFilter)
    list_filter_submit = True
    list_per_page = 25
    list_max_show_all = 0
    list_fullwidth = True
    show_full_result_count = False
    search_fields = ("product__sku",)
    search_help_text = gettext_lazy("Words of the name, the SKU or the vendor")
    ordering = ("product__name", "pk")
    actions_row = ("adjust", "receive")
    actions_detail = ("adjust", "receive")
    change_form_template = "merchant/stock.html"

    @display(description=gettext_lazy("Product"), ordering="product__name", header=True)
    def product_and_sku(self, row: Stock) -> list[str]:
        return [row.product.name, row.product.sku]

    @display(description=gettext_lazy("Status"), ordering="status", label=BADGES)
    def state(self, row: Stock) -> tuple[str, Any]:
        return status_badge(row.status)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Stock]:
        return super().get_queryset(request).select_related("product")  # type: ignore[no-any-return]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Stock], search_term: str
    ) -> tuple[models.QuerySet[Stock], bool]:
        if not search_term:
            return queryset, False
        query = search.query(search_term)
        if query is None:
            return queryset.none(), False
        return queryset.filter(product__search=query), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Stock | None = None
    ) -> bool:
        return False

    def get_changelist_form(
        self, request: HttpRequest, **kwargs: Any
    ) -> type[LevelsForm]:
        return LevelsForm

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method != "POST" or "_save" not in request.POST:
            return super().changelist_view(request, extra_context)  # type: ignore[no-any-return]
        with transaction.atomic():
            self._lock_posted(request)
            response = super().changelist_view(request, extra_context)
        self._keep_posted_rows(response)
        return response  # type: ignore[no-any-return]

    def _lock_posted(self, request: HttpRequest) -> None:
        """Hold the rows in the one order everybody uses, before they are compared."""
        if not self.has_change_permission(request):
            return
        posted = self._get_edited_object_pks(request, "form")
        thresholds.hold()
        stock.lock(int(pk) for pk in posted if pk.isdecimal())

    def _keep_posted_rows(self, response: HttpResponse) -> None:
        """Show a refused form beside its own rows, wherever the list has moved on."""
        changelist: Any = getattr(response, "context_data", {}).get("cl")
        formset = changelist and changelist.formset
        if formset and formset.is_bound:
            changelist.result_list = [form.instance for form in formset.forms]

    def save_model(
        self, request: HttpRequest, obj: Stock, form: LevelsForm, change: bool
    ) -> None:
        """Write the two levels through their service; never the row."""
        typed = {name: form.cleaned_data[name] for name in form.changed_data}
        thresholds.change({obj.pk: Levels(**typed)}, actor=actor_of(request))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """“Why this number?”: the formula of a row and everything that feeds it."""
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            return super().change_view(request, object_id, form_url)  # type: ignore[no-any-return]
        if request.method == "POST":
            if not self.has_change_permission(request, row):
                return super().change_view(request, object_id, form_url)  # type: ignore[no-any-return]
            return HttpResponseNotAllowed(["GET", "HEAD"])
        context = {
            **merchant_views.explain(row),
            **(extra_context or {}),
            "title": _("Why this number?"),
            "original": row.product,
            "badge": status_badge(row.status)[1],
            "badge_type": BADGES[row.status],
        }
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    @merchant_views.button(
        gettext_lazy("Adjust on hand"),
        permission="change",
        icon="edit",
        sentence=gettext_lazy("Count what is physically there and type that number."),
        submit=gettext_lazy("Set the number"),
        form_class=AdjustForm,
        variant=ActionVariant.PRIMARY,
    )
    def adjust(self, request: HttpRequest, form: AdjustForm, row: Stock) -> Any:
        typed = form.cleaned_data
        note = stock.Note(reason=typed["reason"], actor=actor_of(request))
        try:
            fresh = stock.adjust(
                row.pk,
                on_hand=typed["on_hand"],
                expected_version=typed["version"],
                note=note,
            )
        except stock.VersionConflict as conflict:
            form.offer_again(
                conflict.stock,
                _(
                    "This product changed while you counted: %(theirs)s are on hand "
                    "now. Nothing was changed; submit again to set %(mine)s."
                )
                % {"theirs": conflict.stock.on_hand, "mine": typed["on_hand"]},
            )
            return None
        except stock.StockConflict:
            form.add_error(
                "on_hand",
                _(
                    "%(promised)s units are promised to orders and flash sales, so at "
                    "least that many must be on hand. Cancel orders or end the sale "
                    "first, or check the count."
                )
                % {"promised": row.reserved + row.allocated},
            )
            return None
        return _("%(product)s: %(on_hand)s units on hand.") % {
            "product": row.product,
            "on_hand": fresh.on_hand,
        }

    @merchant_views.button(
        gettext_lazy("Receive units"),
        permission="change",
        icon="add",
        sentence=gettext_lazy("Book units that arrived; they are added to the shelf."),
        submit=gettext_lazy("Add the units"),
        form_class=ReceiveForm,
    )
    def receive(self, request: HttpRequest, form: ReceiveForm, row: Stock) -> Any:
        typed = form.cleaned_data
        note = stock.Note(reason=typed["reason"], actor=actor_of(request))
        stock.receive(row.pk, typed["quantity"], note=note)
        sentence = ngettext(
            "%(product)s: %(count)s unit added.",
            "%(product)s: %(count)s units added.",
            typed["quantity"],
        )
        return sentence % {"product": row.product, "count": typed["quantity"]}


# -- Defaults ---------------------------------------------------------------------


@admin.register(Category)
class CategoryAdmin(SimpleHistoryAdmin, ModelAdmin):  # type: ignore[misc]
    """Shelves of the shop, with the levels their products inherit."""

    form = CategoryForm
    list_display = ("name", "parent", "position", "safety_threshold", "low_stock_level")
    list_select_related = ("parent",)
    list_per_page = 50
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    autocomplete_fields = ("parent",)
    fieldsets = (
        (None, {"fields": ("name", "slug", "parent", "position")}),
        (
            gettext_lazy("Defaults for its products"),
            {"fields": (("safety_threshold", "low_stock_level"),)},
        ),
    )
    LEVELS = ("safety_threshold", "low_stock_level")

    def save_model(
        self, request: HttpRequest, obj: Category, form: Any, change: bool
    ) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            return
        typed = {name: getattr(obj, name) for name in self.LEVELS}
        if set(form.changed_data) - set(self.LEVELS):
            for name in self.LEVELS:
                setattr(obj, name, form.initial[name])
            super().save_model(request, obj, form, change)
        batch = thresholds.change_category(obj, **typed, actor=actor_of(request))
        if {"parent", *self.LEVELS} & set(form.changed_data):
            messages.info(request, outcome(batch))


@admin.register(Store)
class StoreAdmin(SimpleHistoryAdmin, ModelAdmin):  # type: ignore[misc]
    """The numbers every product inherits unless something nearer says otherwise."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Store | None = None
    ) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            return super().changelist_view(request, extra_context)  # type: ignore[no-any-return]
        return redirect("admin:catalog_store_change", thresholds.store().pk)

    def save_model(
        self, request: HttpRequest, obj: Store, form: Any, change: bool
    ) -> None:
        batch = thresholds.change_store(
            safety_threshold=obj.safety_threshold,
            low_stock_level=obj.low_stock_level,
            actor=actor_of(request),
        )
        messages.info(request, outcome(batch))


# -- Ledgers ----------------------------------------------------------------------


class LedgerAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows to read, search and filter; nobody adds, edits or deletes one here."""

    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = 50
    list_filter_submit = True
    list_fullwidth = True
    list_disable_select_all = True
    search_fields = ("product__sku",)
    search_help_text = gettext_lazy("Words of the product's name or SKU")
    ordering = ("-pk",)
    actions = None

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        products = search.matching(Product.objects.all(), search_term).values("pk")
        return queryset.filter(product__in=products), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return False


@admin.register(StockMovement)
class StockMovementAdmin(LedgerAdmin):
    list_display = (
        moment("created_at", gettext_lazy("When")),
        "product",
        "what",
        moved("on_hand", gettext_lazy("On hand")),
        moved("reserved", gettext_lazy("Reserved")),
        moved("allocated", gettext_lazy("Allocated")),
        "reason",
        "why",
        "actor",
    )
    list_select_related = ("product", "actor")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("product", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )

    @display(description=gettext_lazy("Cause"))
    def why(self, movement: StockMovement) -> str:
        return cause_link(movement.cause)

    @display(description=gettext_lazy("Movement"), ordering="kind", label=KIND_BADGES)
    def what(self, movement: StockMovement) -> tuple[str, Any]:
        return movement.kind, movement.get_kind_display()


@admin.register(StatusChange)
class StatusChangeAdmin(LedgerAdmin):
    list_display = (
        moment("created_at", gettext_lazy("When")),
        "product",
        "was",
        "became",
        "sellable",
        "why",
        moment("alerted_at", gettext_lazy("Alert sent")),
    )
    list_select_related = ("product",)
    list_filter = (
        ("to_status", ChoicesDropdownFilter),
        ("product", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )

    @display(description=gettext_lazy("Cause"))
    def why(self, change: StatusChange) -> str:
        return cause_link(change.cause)

    @display(description=gettext_lazy("From"), label=BADGES)
    def was(self, change: StatusChange) -> tuple[str, Any]:
        return status_badge(change.from_status)

    @display(description=gettext_lazy("To"), label=BADGES)
    def became(self, change: StatusChange) -> tuple[str, Any]:
        return status_badge(change.to_status)
