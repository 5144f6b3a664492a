"""A client of the JSON API for tests, on Django's own test client."""

import json

from django.test import Client

from sales import tokens
from tests.factories import make_user

BASE = "/api/v1"


class Api:
    """Calls as one token; bodies are JSON, answers have `.json()`."""

    def __init__(self, token=""):
        self.client = Client(raise_request_exception=False)
        self.token = token

    def call(self, method, path, body=None, *, key=None, **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if key is not None:
            sent["Idempotency-Key"] = str(key)
        options = {"headers": sent}
        if method not in ("GET", "HEAD"):
            options |= {"data": body, "content_type": "application/json"}
        return self.client.generic(method, BASE + path, **_payload(options))

    def get(self, path, **options):
        return self.call("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.call("POST", path, body, **options)

    def put(self, path, body=None, **options):
        return self.call("PUT", path, body, **options)

    def patch(self, path, body=None, **options):
        return self.call("PATCH", path, body, **options)

    def delete(self, path, **options):
        return self.call("DELETE", path, **options)


def _payload(options):
    body = options.pop("data", None)
    if isinstance(body, (str, bytes)):
        return {"data": body, **options}
    if body is None:
        return options
    return {"data": json.dumps(body), **options}


def as_guest():
    return Api(tokens.new_guest()[0])


def as_user(user=None, **fields):
    return Api(tokens.issue(user or make_user(**fields)).text)


def as_staff(*permissions):
    return as_user(make_user(permissions=permissions))


def code(response):
    """The status and the stable code of an error, after a look at its form."""
    assert response["Content-Type"] == "application/problem+json", response.content
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["title"]
    assert problem["detail"]
    return response.status_code, problem["code"]
