"""The catalog as shoppers see it: the product list and the product page."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)
from django.views.decorators.vary import vary_on_headers

from catalog import categories, keyset, restock
from catalog.forms import ProductFilterForm, TellMeForm
from catalog.http import HtmxRequest, address_of
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
    # Stock for the rows of the page alone: joined to the matches of a search before the
    # page is cut from them, the whole table would be read.
    products = Product.objects.published().prefetch_related("stock").defer("search")
    if node:
        products = products.filter(category__in=node.pks)
    try:
        page = keyset.page(
            filters.apply(products),
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
    shelf = products.filter(category=shown.category_id).exclude(handle=shown.handle)
    # One variant of each; the shelf is read in the order of its handles for that.
    ids = shelf.order_by("handle", "pk").distinct("handle").values("pk")[:RELATED]
    context = {
        "product": shown,
        "pictures": list(shown.pictures.all()),
        "node": categories.tree().of(shown.category_id),
        "variants": variants if len(variants) > 1 else [],
        "related": products.filter(pk__in=ids).order_by("name", "pk"),
        "quantity": 1,
    }
    return render(request, "storefront/product.html", context)


@require_POST
@never_cache
def tell_me(request: HtmxRequest, slug: str) -> HttpResponse:
    """Note who wants a mail when a product is back; the answer is the same for all."""
    shown = get_object_or_404(Product.objects.published(), slug=slug)
    form = TellMeForm(request.POST)
    if not form.is_valid():
        error = form.errors["email"][0]
        outcome: dict[str, object] = {"error": error}
        outcome["email"] = request.POST.get("email", "")[:254]
        return _told(request, shown, outcome, status=422)
    if not restock.may_ask(address_of(request)):
        error = _("That was very often in one hour. Please try again later.")
        return _told(request, shown, {"error": error}, status=429)
    restock.ask(shown, form.cleaned_data["email"])
    if request.htmx:
        return _told(request, shown, {"done": True})
    messages.success(
        request, _("We write to you once, as soon as it can be bought again.")
    )
    return redirect(shown)


def _told(
    request: HtmxRequest,
    shown: Product,
    outcome: dict[str, object],
    *,
    status: int = 200,
) -> HttpResponse:
    template = "_tell_me.html" if request.htmx else "tell_me.html"
    context = {"product": shown, "tell_me": outcome}
    return render(request, f"storefront/{template}", context, status=status)


@csrf_exempt  # mail programs send the form themselves; the token is proof enough
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def tell_me_stop(request: HtmxRequest, token: str) -> HttpResponse:
    """The way out of all these mails; looking at the page alone changes nothing."""
    is_done = request.method == "POST"
    if is_done and not restock.forget(token):
        raise Http404(_("This link is incomplete. Copy all of it from the mail."))
    return render(request, "storefront/tell_me_stop.html", {"is_done": is_done})
