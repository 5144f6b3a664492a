"""Dashboard pages about sales and orders, and the fragments that keep them fresh."""

import csv
import json
from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from catalog.columns import BADGES
from catalog.models import Alert, Product, StatusChange, Stock
from catalog.status import StockStatus
from sales import audit, demand, desk, jobs, preflight, report, waiting_room
from sales.models import FlashSale, FlashSaleItem, ItemState, SaleState

RECENT = 8
VERDICT_BADGES = {"holds": "success", "drift": "danger", "unknown": "warning"}
LINES = [
    "--color-primary-600",
    "--color-orange-500",
    "--color-blue-600",
    "--color-base-500",
    "--color-red-500",
    "--color-primary-300",
]
STOP_POLLING = 286
STILL = (SaleState.DRAFT, SaleState.SETTLED, SaleState.CANCELLED)


# -- First page -------------------------------------------------------------------


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the dashboard's first page shows."""
    return {**context, **_overview(request), **_chart(request)}


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """The figures of the first page alone, asked for every few seconds."""
    return render(request, "merchant/_overview.html", _overview(request))


@require_safe
@permission_required("sales.view_order", raise_exception=True)
def chart(request: HttpRequest) -> HttpResponse:
    """Orders over time; `span` is hour or day."""
    return render(request, "merchant/_chart.html", _chart(request))


def _overview(request: HttpRequest) -> dict[str, Any]:
    user = request.user
    context: dict[str, Any] = {"now": timezone.now()}
    if user.has_perm("catalog.view_stock"):
        context["statuses"] = _statuses()
    if user.has_perm("catalog.view_statuschange"):
        changes = StatusChange.objects.select_related("product")
        context["status_changes"] = list(changes[:RECENT])
    if user.has_perm("sales.view_flashsale"):
        sales = desk.sales_now(desk.current_sales())
        context["sales"] = sales
        context["unsynced"] = sum(sale.unsynced for sale in sales)
        context["oldest_unsynced"] = desk.oldest_unsynced(sales)
        context["queues"] = jobs.queues_if_known()
        context["last_audit"] = audit.latest()
    if user.has_perm("catalog.view_alert"):
        alerts = Alert.objects.filter(seen_at=None).select_related("product")
        context["alerts"] = list(alerts[:RECENT])
    return context


def _statuses() -> list[dict[str, Any]]:
    """Each status with its number of products and the list of them."""
    rows = Stock.objects.order_by().values_list("status").annotate(Count("pk"))
    counts = dict(rows)
    url = reverse("admin:catalog_stock_changelist")
    return [
        {
            "label": status.label,
            "count": counts.get(status.value, 0),
            "url": f"{url}?status={status.value}",
            "type": BADGES[status.value],
        }
        for status in StockStatus
    ]


def _chart(request: HttpRequest) -> dict[str, Any]:
    span = request.GET.get("span", "day")
    span = span if span in desk.SPANS else "day"
    if not request.user.has_perm("sales.view_order"):
        return {"span": span}
    counts = desk.order_counts(span)
    series = [
        (_("Flash sales"), "--color-primary-600", [row.flash for row in counts]),
        (_("Shop"), "--color-base-400", [row.regular for row in counts]),
    ]
    data = {
        "labels": [f"{row.start:%H:%M}" for row in counts],
        "datasets": [
            {"label": label, "color": color, "data": numbers}
            for label, color, numbers in series
        ],
    }
    return {"span": span, "chart": json.dumps(data), "chart_total": _total(counts)}


def _total(counts: list[desk.OrderCount]) -> int:
    return sum(row.regular + row.flash for row in counts)


# -- Why this number? -------------------------------------------------------------


@require_safe
@permission_required("catalog.view_stock", raise_exception=True)
def promises(request: HttpRequest, product_id: int) -> HttpResponse:
    """Who the reserved and allocated units of one product are promised to."""
    product = get_object_or_404(Product.objects.select_related("stock"), pk=product_id)
    items = FlashSaleItem.objects.filter(product=product).exclude(
        state__in=[ItemState.WAITING, ItemState.SETTLED]
    )
    sales = FlashSale.objects.filter(items__in=items)
    now = desk.sales_now(list(sales.prefetch_related("items__product")))
    context = {
        "product": product,
        "orders": desk.promises(product.pk)
        if request.user.has_perm("sales.view_order")
        else [],
        "allocations": [
            (sale, item)
            for sale in now
            for item in sale.items
            if item.item.product_id == product.pk and item.item.is_loaded
        ],
    }
    return render(request, "merchant/_promises.html", context)


# -- Flash sales ------------------------------------------------------------------


@require_safe
@permission_required("sales.view_flashsale", raise_exception=True)
def live(request: HttpRequest, sale_id: int) -> HttpResponse:
    """The counters of one sale now, and its log; the page asks every two seconds."""
    sale = FlashSale.objects.prefetch_related("items__product").filter(pk=sale_id)
    found = desk.sales_now(list(sale))
    if not found:
        raise Http404(_("This sale is gone. Go back to the list of sales."))
    (now,) = found
    log = now.sale.transitions.select_related("actor", "item__product")
    context = {
        "now": now,
        "transitions": log.order_by("-pk")[:10],
        **_pulse(now),
        "crowd": waiting_room.crowd(sale_id) if now.sale.has_waiting_room else None,
    }
    status = STOP_POLLING if now.sale.state in STILL else 200
    return render(request, "merchant/_flash_live.html", context, status=status)


def _pulse(now: desk.SaleNow) -> dict[str, Any]:
    """How fast a sale goes, who is refused, how late the books are, and if it holds."""
    at = timezone.now()
    item_ids = [item.item.pk for item in now.items]
    demands = demand.of_items(item_ids, now=at)
    oldest = desk.oldest_unsynced([now])
    run = audit.latest()
    return {
        "at": at,
        "demand": demand.together(demands.values()),
        "refusals": [
            (item.item.product.name, kind, count)
            for item in now.items
            for kind, count in demands[item.item.pk].refusals
        ],
        "lag": max(0.0, (at - oldest).total_seconds()) if oldest else None,
        "audit": run,
        "verdict": audit.verdict_on(run, item_ids) if run else None,
    }


@require_safe
@permission_required("sales.view_flashsale", raise_exception=True)
def preflight_check(request: HttpRequest, sale_id: int) -> HttpResponse:
    """Go or no-go for a sale that has not opened."""
    sale = _sale(sale_id)
    needed = [queue for queue in jobs.queues() if queue.name in jobs.NEEDED_BY_SALES]
    idle = [queue.name for queue in needed if not queue.workers]
    operations = preflight.Operations(idle, jobs.schedules())
    checks = preflight.of_sale(sale, operations)
    missing = sum(not check.is_met for check in checks)
    context = {"checks": checks, "missing": missing, "sale": sale}
    return render(request, "merchant/_preflight.html", context)


@require_safe
@permission_required("sales.view_flashsale", raise_exception=True)
def audit_sale(request: HttpRequest, sale_id: int) -> HttpResponse:
    """Check the invariants of one sale now; changes nothing and stops nobody."""
    _sale(sale_id)
    found = audit.of_sale(sale_id)
    context = {
        "report": found.as_json(),
        "verdict": found.verdict.label,
        "verdict_type": VERDICT_BADGES[found.verdict.value],
    }
    return render(request, "merchant/_findings.html", context)


@require_safe
@permission_required("sales.view_flashsale", raise_exception=True)
def sale_report(request: HttpRequest, sale_id: int) -> HttpResponse:
    """What came of a sale, to read, to print, or as CSV (`?format=csv`)."""
    sale = _sale(sale_id)
    found = report.of_sale(sale)
    if request.GET.get("format") == "csv":
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{sale.slug}.csv"'
        csv.writer(response).writerows(report.lines(found))
        return response
    context = {
        **admin.site.each_context(request),
        "title": _("Report: %(sale)s") % {"sale": sale.name},
        "report": found,
        "sale": sale,
        "chart": _curves(found),
    }
    return render(request, "merchant/sale_report.html", context)


def _curves(found: report.SaleReport) -> str:
    """What was taken since the opening, a line per product, as JSON."""
    opens_at = found.sale.opens_at
    return json.dumps(
        {
            "labels": [report.span(moment - opens_at) for moment in found.moments],
            "datasets": [
                {
                    "label": row.item.product.name,
                    "color": LINES[number % len(LINES)],
                    "borderDash": [6, 4] if number // len(LINES) % 2 else [],
                    "data": row.shares,
                }
                for number, row in enumerate(found.items)
            ],
        }
    )


@require_safe
@permission_required("sales.view_flashsale", raise_exception=True)
def item(request: HttpRequest, item_id: int) -> HttpResponse:
    """The page of the sale an item belongs to; ledgers name items, not sales."""
    found = get_object_or_404(FlashSaleItem, pk=item_id)
    return redirect("admin:sales_flashsale_change", found.sale_id)


def _sale(sale_id: int) -> FlashSale:
    sale = FlashSale.objects.filter(pk=sale_id).first()
    if sale is None:
        raise Http404(_("This sale is gone. Go back to the list of sales."))
    return sale
