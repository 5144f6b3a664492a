"""What the JSON API says when it does not do what was asked: problem+json, RFC 9457."""

from http import HTTPStatus
from typing import Any

from django.http import HttpResponse, JsonResponse
from ninja import Field, Schema
from ninja.responses import NinjaJSONEncoder
from pydantic import ConfigDict

MEDIA_TYPE = "application/problem+json"
# What is said when nothing more particular is known.
CODES = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    422: "invalid",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}


class Problem(Exception):
    """An answer that is an error: its status, its stable `code`, a sentence.

    `extra` members go into the answer as they are; None is left out.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after: int | None = None,
        **extra: Any,
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.extra = {name: value for name, value in extra.items() if value is not None}
        super().__init__(f"{status} {code}: {detail}")


class ProblemOut(Schema):
    """Why a call was not done. Decide by `code`; show `detail` to people."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    code: str = Field(examples=["insufficient_stock"])
    detail: str = Field(examples=["Some lines ask for more than there is."])


def answer(problem: Problem) -> HttpResponse:
    """The problem as a response."""
    response = JsonResponse(
        {
            "type": "about:blank",
            "title": HTTPStatus(problem.status).phrase,
            "status": problem.status,
            "code": problem.code,
            "detail": problem.detail,
            **problem.extra,
        },
        encoder=NinjaJSONEncoder,
        status=problem.status,
        content_type=MEDIA_TYPE,
    )
    response["Cache-Control"] = "no-store"
    if problem.retry_after is not None:
        response["Retry-After"] = str(problem.retry_after)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = "Bearer"
    return response


def declared(*statuses: int) -> dict[int, type[ProblemOut]]:
    """These statuses for an operation's `response=`."""
    return dict.fromkeys(statuses, ProblemOut)


def not_found(detail: str) -> Problem:
    return Problem(404, "not_found", detail)
