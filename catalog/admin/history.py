"""Old versions of a row, to look at."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin


class HistoryAdmin(SimpleHistoryAdmin):  # type: ignore[misc]
    """Shows the history and puts nothing back.

    The library saves an old version for whoever may view the row, and past the services
    that write levels and sales; so its form is only shown.
    """

    def history_form_view(
        self,
        request: HttpRequest,
        object_id: str,
        version_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return super().history_form_view(  # type: ignore[no-any-return]
            request, object_id, version_id, extra_context
        )
