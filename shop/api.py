"""The JSON API: its object, its errors, its description; mounted by shop/urls.py."""

import json
import logging
import math
from collections.abc import Callable, Sequence
from functools import cache, wraps
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, Throttled, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from ninja.parser import Parser

from catalog import problems
from catalog.api import router as catalog_router
from catalog.callers import Token
from catalog.problems import Problem
from sales import answers, jobs
from sales.api import router as sales_router
from sales.counters import NotLoaded, Unsure
from sales.flash_api import router as flash_router
from sales.orders import NotPossible
from sales.room_api import router as room_router
from sales.waiting_api import router as waiting_router
from shop import limits
from shop.openapi import complete

logger = logging.getLogger(__name__)

View = Callable[..., HttpResponseBase]
KEY = "Idempotency-Key"
# Addresses whose POST makes something, but claims, which are made under their key.
KEYED = {
    *("users", "tokens", "guests", "products", "carts", "orders", "flash-sales"),
    "waiting-list",
}
FORMS = {"multipart/form-data", "application/x-www-form-urlencoded"}


class StrictParser(Parser):
    """JSON as the standard has it: no NaN, no Infinity. Plain forms are read too."""

    def parse_body(self, request: HttpRequest) -> Any:
        if request.content_type in FORMS:
            return request.POST.dict()
        return json.loads(request.body, parse_constant=_refuse_constant)


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


class ShopAPI(NinjaAPI):
    """Adds to each answer what all have: entity tags, rates, what caches may do."""

    def create_response(
        self,
        request: HttpRequest,
        data: Any,
        *,
        status: int | None = None,
        temporal_response: HttpResponse | None = None,
    ) -> HttpResponse:
        response = super().create_response(
            request, data, status=status, temporal_response=temporal_response
        )
        _prepare(request, response)
        if request.method != "GET" or response.status_code != 200:
            return response
        etag = f'"{sha256(response.content).hexdigest()[:32]}"'
        response["ETag"] = etag
        conditional = get_conditional_response(request, etag=etag, response=response)
        assert isinstance(conditional, HttpResponse)
        return conditional

    def on_exception(self, request: HttpRequest, exc: Any) -> HttpResponse:
        if isinstance(exc, Problem) and exc.status == 401:
            exc = _counted(request, exc)
        response = super().on_exception(request, exc)
        limits.show(request, response)
        return response

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        return _described()

    def plain_schema(self) -> OpenAPISchema:
        """The description as the library makes it."""
        return super().get_openapi_schema()


def _prepare(request: HttpRequest, response: HttpResponse) -> None:
    """Say what caches may do with a good answer, and where its client stands."""
    response["Cache-Control"] = "private, no-cache"
    patch_vary_headers(response, ["Authorization", "Accept-Language"])
    limits.show(request, response)


def keyed(run: View) -> View:
    """Answer a repeat of a call that makes something with the first answer."""

    @wraps(run)
    def wrapper(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        match = request.resolver_match
        makes = match is not None and match.url_name in KEYED
        if request.method != "POST" or not makes or KEY not in request.headers:
            return run(request, **kwargs)
        try:
            return _once(request, lambda: run(request, **kwargs))
        except (Problem, Throttled, SuspiciousOperation) as error:
            return api.on_exception(request, error)

    return wrapper


def _once(request: HttpRequest, run: Callable[[], HttpResponseBase]) -> HttpResponse:
    try:
        key = UUID(request.headers[KEY])
    except ValueError as error:
        raise Problem(422, "invalid", _("Idempotency-Key must be a UUID.")) from error
    made: list[HttpResponse] = []

    def work() -> tuple[bool, bytes]:
        response = run()
        assert isinstance(response, HttpResponse)
        made.append(response)
        return response.status_code < 300, response.content

    asked = answers.Request(
        key, request.headers.get("Authorization", ""), request.path, request.body
    )
    try:
        outcome = answers.once(asked, work)
    except answers.Mismatch as error:
        raise Problem(
            422,
            "idempotency_mismatch",
            _("This Idempotency-Key was used for something else; make a new one."),
        ) from error
    if not outcome.replayed:
        return made[0]
    _admit(request)
    response = HttpResponse(
        outcome.body, content_type="application/json; charset=utf-8"
    )
    _prepare(request, response)
    response["Idempotency-Replayed"] = "true"
    return response


def _counted(request: HttpRequest, problem: Problem) -> Problem | Throttled:
    """The problem, unless its address calls too often; tokens are read before that."""
    limit = limits.Limits()
    if hasattr(request, "rate") or limit.allow_request(request):
        return problem
    return Throttled(math.ceil(limit.wait()))


def _admit(request: HttpRequest) -> None:
    """Ask of a repeat what its first call was asked: a token that is good, and rates.

    Raises Problem or Throttled.
    """
    Token()(request)
    limit = limits.Limits()
    if not limit.allow_request(request):
        raise Throttled(math.ceil(limit.wait()))


api = ShopAPI(
    title=settings.SHOP_NAME,
    version="1",
    urls_namespace="api-1",
    description=(
        "Products, stock, carts, orders and flash sales. Prices are strings with two "
        "decimals, times are ISO 8601 in UTC. Lists answer `{items, next}`: send "
        "`next` as `cursor` for the rows after them. Errors are "
        "`application/problem+json`; decide by their `code`."
    ),
    docs_url=None,
    docs_decorator=lambda view: csrf_exempt(require_safe(view)),
    parser=StrictParser(),
    auth=Token(),
    throttle=limits.Limits(),
)
api.add_decorator(keyed, mode="view")
api.add_router("", catalog_router)
api.add_router("", sales_router)
api.add_router("/flash-sales", flash_router)
api.add_router("/flash-sales", room_router)
api.add_router("/flash-sales", waiting_router)


@cache
def _described() -> OpenAPISchema:
    return complete(api)


# -- Errors ------------------------------------------------------------------------


@api.exception_handler(Problem)
def _problem(request: HttpRequest, problem: Problem) -> HttpResponse:
    return problems.answer(problem)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [
        {
            "where": ".".join(_place(one["loc"])),
            "what": one["msg"].removeprefix("Value error, "),
        }
        for one in error.errors
    ]
    said = "; ".join(f"{one['where']}: {one['what']}" for one in errors)
    return problems.answer(Problem(422, "invalid", said, errors=errors))


def _place(loc: Sequence[str | int]) -> list[str]:
    """Where in the request it is, without the name we give to its body."""
    place = [str(part) for part in loc]
    return place[1:] if place[:2] == ["body", "body"] else place


@api.exception_handler(NotPossible)
def _not_possible(request: HttpRequest, error: NotPossible) -> HttpResponse:
    return problems.answer(Problem(409, "not_possible", str(error)))


@api.exception_handler(NotLoaded)
def _not_loaded(request: HttpRequest, error: NotLoaded) -> HttpResponse:
    logger.warning("%s: not loaded: %s", request.path, error)
    jobs.start_recovery()
    return problems.answer(
        Problem(
            503,
            "not_loaded",
            _("The stock of this sale is being checked; try again in a moment."),
            retry_after=2,
        )
    )


@api.exception_handler(Unsure)
def _unsure(request: HttpRequest, error: Unsure) -> HttpResponse:
    logger.warning("%s: unsure: %s", request.path, error)
    return problems.answer(
        Problem(
            503,
            "unsure",
            _(
                "It is not known yet whether this was done. Send the same call again, "
                "with the same Idempotency-Key."
            ),
            retry_after=1,
        )
    )


@api.exception_handler(Throttled)
def _throttled(request: HttpRequest, error: Throttled) -> HttpResponse:
    return problems.answer(
        Problem(
            429,
            "too_many_requests",
            _("Too many calls; wait a moment."),
            retry_after=error.wait,
        )
    )


@api.exception_handler(AuthenticationError)
def _unauthorized(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return problems.answer(Problem(401, "unauthorized", _("Send a valid token.")))


@api.exception_handler(HttpError)
def _malformed(request: HttpRequest, error: HttpError) -> HttpResponse:
    code = problems.CODES.get(error.status_code, "malformed")
    return problems.answer(Problem(error.status_code, code, str(error)))


@api.exception_handler(RequestDataTooBig)
def _too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return problems.answer(Problem(413, "too_large", _("This is too much at once.")))


@api.exception_handler(SuspiciousOperation)
def _suspicious(request: HttpRequest, error: SuspiciousOperation) -> HttpResponse:
    return problems.answer(Problem(400, "malformed", _("This cannot be read.")))


@api.exception_handler(PermissionDenied)
def _forbidden(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
    return problems.answer(Problem(403, "forbidden", _("This is not allowed.")))


@api.exception_handler(Http404)
def _not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return problems.answer(problems.not_found(_("There is nothing here.")))


class ApiMiddleware:
    """Under /api/: HEAD asks like GET, and each error is problem+json, also a crash."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/api/"):
            return self.get_response(request)
        method = request.method
        if method == "HEAD":  # the server leaves the body out
            request.method = "GET"
        response = self.get_response(request)
        request.method = method
        if response.status_code < 400 or response.get("Content-Type", "").startswith(
            problems.MEDIA_TYPE
        ):
            return response
        return _converted(response)


def _converted(response: HttpResponse) -> HttpResponse:
    status = response.status_code
    sentences = {
        404: _("There is nothing at this address; see /api/docs."),
        405: _("This address does not take this method."),
        500: _("Something went wrong here; it has been logged."),
        503: _("The shop cannot reach a server; send the same call again soon."),
    }
    problem = Problem(
        status,
        problems.CODES.get(status, "error"),
        sentences.get(status, _("This cannot be done.")),
    )
    answer = problems.answer(problem)
    for name in {"Allow", "Retry-After"} & set(response.headers):
        answer[name] = response[name]
    return answer
