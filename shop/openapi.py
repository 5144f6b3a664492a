"""The API's description, completed: what every operation takes and may answer."""

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ninja.openapi.schema import OpenAPISchema

from catalog.callers import Token
from catalog.problems import CODES, MEDIA_TYPE

if TYPE_CHECKING:
    from shop.api import ShopAPI

PROBLEM = {"$ref": "#/components/schemas/ProblemOut"}
ALWAYS = {
    "400": "The request cannot be read.",
    "404": "There is nothing here.",
    "413": "The request is too large.",
    "422": "Something sent is not valid; `errors` says what.",
    "429": "Too many calls; see Retry-After and the RateLimit headers.",
    "500": "Something went wrong here.",
    "503": "Redis is being checked, or a server is away; try again.",
}
CODE = re.compile(r"Codes:\s+`(\w+)`")
RATES = {
    name: {"schema": {"type": "integer"}, "description": text}
    for name, text in {
        "RateLimit-Limit": "Calls per minute.",
        "RateLimit-Remaining": "Calls left in this minute.",
        "RateLimit-Reset": "Seconds until it starts again.",
    }.items()
}
KEY_PARAMETER = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "schema": {"type": "string", "format": "uuid"},
    "description": "A UUID of yours. For 48 hours a repeat gets the first answer.",
}
TAG_PARAMETER = {
    "in": "header",
    "name": "If-None-Match",
    "required": False,
    "schema": {"type": "string"},
    "description": "The ETag of an answer you have; 304 if it still holds.",
}


def complete(api: "ShopAPI") -> OpenAPISchema:
    """The description with common errors, keys, entity tags, and who may call."""
    schema = api.plain_schema()
    tokens = _tokens(api)
    for methods in schema["paths"].values():
        for method, operation in methods.items():
            _complete(operation, method, tokens[operation["operationId"]])
    return schema


def _tokens(api: "ShopAPI") -> dict[str, Token | None]:
    """Whom each operation serves, by its id."""
    found: dict[str, Token | None] = {}
    for router in api._get_bound_routers():
        for view in router.path_operations.values():
            for operation in view.operations:
                token = next(iter(operation.auth_callbacks), None)
                name = operation.operation_id or api.get_openapi_operation_id(operation)
                found[name] = token if isinstance(token, Token) else None
    return found


def _complete(operation: dict[str, Any], method: str, token: Token | None) -> None:
    answers = {str(code): given for code, given in operation["responses"].items()}
    for code, text in ALWAYS.items():
        answers.setdefault(code, {"description": text})
    if token is not None:
        answers.setdefault("401", {"description": "The token is missing or not valid."})
        _name_caller(operation, answers, token)
    if method == "get":
        answers["304"] = {"description": "Not modified."}
        operation["parameters"].append(TAG_PARAMETER)
    if method == "post":
        _name_key(operation, answers)
    for code, given in answers.items():
        if int(code) < 300 or code == "429":
            given["headers"] = RATES
        if int(code) >= 400:
            example = _example(int(code), given["description"], operation)
            given["content"] = {MEDIA_TYPE: {"schema": PROBLEM, "example": example}}
    operation["responses"] = dict(sorted(answers.items()))


def _example(status: int, sentence: str, operation: dict[str, Any]) -> dict[str, Any]:
    """A problem as it may come with this status; 409 has codes of the operation."""
    named = CODE.search(operation.get("description", ""))
    code = CODES.get(status) or (named[1] if named else "not_possible")
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": sentence,
    }


def _name_caller(
    operation: dict[str, Any], answers: dict[str, Any], token: Token
) -> None:
    if not token.required:
        operation["security"] = [{}, {"Token": []}]
    if token.permission:
        answers["403"] = {"description": "The token lacks the permission."}
        operation["description"] = (
            f"{operation.get('description', '')}\n\n"
            f"Needs the permission `{token.permission}`."
        ).strip()


def _name_key(operation: dict[str, Any], answers: dict[str, Any]) -> None:
    names = {p["name"] for p in operation["parameters"]}
    makes = "201" in answers or operation["operationId"] == "create_token"
    if makes and "Idempotency-Key" not in names:
        operation["parameters"].append(KEY_PARAMETER)
    if "201" in answers and "200" not in answers:
        answers["200"] = {
            **answers["201"],
            "description": "A repeat: the first answer.",
        }
