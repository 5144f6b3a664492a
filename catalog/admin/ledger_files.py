"""A ledger as a CSV file: the rows of the list as it is filtered, sent as they come."""

import csv
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_safe

from catalog.files import cells

Cell = Callable[[Any], Any]
CHUNK = 2000


class _Echo:
    """Gives each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def lines(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """CSV lines, one at a time; no text is a formula for a spreadsheet."""
    writer = csv.writer(_Echo())
    yield writer.writerow(names)
    for row in rows:
        yield writer.writerow([_text(value) for value in row])


def _text(value: Any) -> Any:
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return cells.guarded(value) if isinstance(value, str) else value


class CsvExport:
    """For a LedgerAdmin: a button above the list that exports what the list shows.

    The filters, the search and the order of the list's address are those of the file;
    memory does not grow with the number of rows.
    """

    file_columns: dict[str, Cell] = {}
    change_list_template = "merchant/ledger_list.html"

    def get_urls(self: Any) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        view = require_safe(self.admin_site.admin_view(self.export))
        return [path("export/", view, name=name), *super().get_urls()]  # type: ignore[misc]

    def changelist_view(
        self: Any, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        context = {**(extra_context or {}), "has_export_permission": True}
        return super().changelist_view(request, context)  # type: ignore[misc]

    def export(self: Any, request: HttpRequest) -> HttpResponseBase:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
            return redirect(name)
        getters = list(self.file_columns.values())
        found = (
            [getter(row) for getter in getters]
            for row in rows.iterator(chunk_size=CHUNK)
        )
        file_name = f"{self.opts.model_name}-{timezone.now():%Y-%m-%d-%H%M}.csv"
        return StreamingHttpResponse(
            lines(self.file_columns, found),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
        )
