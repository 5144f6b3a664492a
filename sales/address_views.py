"""The address book, for those who are signed in."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from catalog.http import HtmxRequest
from sales import addresses
from sales.forms import ADDRESS_FIELDS, AddressForm
from sales.models import Address
from sales.orders import Contact, NotPossible


@require_safe
@never_cache
@login_required
def address_book(request: HtmxRequest) -> HttpResponse:
    """All addresses of the account; checkout offers them."""
    context = {"addresses": addresses.of(request.user), "most": addresses.MOST}
    return render(request, "storefront/addresses.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def address(request: HtmxRequest, address_id: int | None = None) -> HttpResponse:
    """One address to write or to change."""
    user = request.user
    assert isinstance(user, User)
    initial: dict[str, str] = {}
    if address_id is not None:
        row = get_object_or_404(Address, pk=address_id, user=user)
        initial = {name: getattr(row, name) for name in ADDRESS_FIELDS}
    form = AddressForm(request.POST if request.method == "POST" else None)
    form.initial = initial
    if form.is_valid():
        place = {name: form.cleaned_data[name] for name in ADDRESS_FIELDS}
        try:
            addresses.keep(user, Contact(email="", **place), address_id=address_id)
        except NotPossible as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("The address is in your book."))
        return redirect("sales:addresses")
    status = 422 if form.is_bound else 200
    context = {"form": form, "is_new": address_id is None}
    return render(request, "storefront/address.html", context, status=status)


@require_POST
@never_cache
@login_required
def address_delete(request: HtmxRequest, address_id: int) -> HttpResponse:
    """Take an address out of the book; orders keep their own copy."""
    assert isinstance(request.user, User)
    Address.objects.filter(pk=address_id, user=request.user).delete()
    return redirect("sales:addresses")
