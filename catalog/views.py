"""The catalog as shoppers see it: the product list and the product page."""

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from catalog import categories, keyset
from catalog.forms import ProductFilterForm
from catalog.http import HtmxRequest
from catalog.models import Product

RELATED = 4


@require_safe
@vary_on_headers("HX-Target")
def product_list(request: HtmxRequest, path: str = "") -> HttpResponse:
    """Products of a shelf or all, filtered and paged; htmx gets the results alone."""
    tree = categories.tree()
    node = tree.find(path.rsplit("/", 1)[-1]) if path else None
    if path and node is None:
        raise Http404(_("This category does not exist, or no longer does."))
    if node and node.path != path:
        query = f"?{request.GET.urlencode()}" if request.GET else ""
        return redirect(node.url + query, permanent=True)
    filters = ProductFilterForm(request.GET)
    is_valid = filters.is_valid()
    products = Product.objects.published().select_related("stock")
    if node:
        products = products.filter(category__in=node.pks)
    try:
        page = keyset.page(
            filters.apply(products).select_related("stock"),
            by=filters.column,
            cursor=request.GET.get("cursor", ""),
        )
    except keyset.BadCursor:
        return redirect(f"{request.path}?{_without_cursor(request)}")
    context = {
        "tree": tree,
        "node": node,
        "filters": filters,
        "page": page,
        "path": request.path,
        "query": _without_cursor(request),
    }
    is_fragment = request.htmx.target == "product-results"
    template = "_product_results.html" if is_fragment else "product_list.html"
    return render(
        request, f"storefront/{template}", context, status=200 if is_valid else 422
    )


def _without_cursor(request: HtmxRequest) -> str:
    query = request.GET.copy()
    query.pop("cursor", None)
    return query.urlencode()


@require_safe
def product(request: HtmxRequest, slug: str) -> HttpResponse:
    """One product with its variants, what may be had of it, and what is like it."""
    products = Product.objects.published().select_related("stock")
    shown = get_object_or_404(products, slug=slug)
    variants = list(products.filter(handle=shown.handle).order_by("pk")[:50])
    related = products.filter(category=shown.category_id).exclude(handle=shown.handle)
    context = {
        "product": shown,
        "node": categories.tree().of(shown.category_id),
        "variants": variants if len(variants) > 1 else [],
        "related": related.order_by("name", "pk")[:RELATED],
        "quantity": 1,
    }
    return render(request, "storefront/product.html", context)
