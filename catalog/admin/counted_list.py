"""A list whose heading counts what was found only when something was asked for."""

from django.http import HttpRequest
from unfold.views import ChangeList


class CountedList(ChangeList):  # type: ignore[misc]
    """One count serves as both where nothing is searched for or filtered by."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count
