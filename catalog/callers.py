"""Who calls the JSON API: nobody in particular, a shopper, a guest, or staff.

An operation says by `auth=Token(...)` whom it serves. What a token means is read by the
callable that the setting SHOP_TOKEN_READER names, because this app does not know of
tokens; it raises Problem for one that is not valid.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from ninja.security import HttpBearer

from catalog.problems import Problem


@dataclass(frozen=True)
class Caller:
    """Somebody as their token describes them; reading `user` takes a query.

    `buyer` is how limits per buyer know them: "u:<user>", "g:<uuid>", empty for nobody.
    `ident` names the token for rate limits. `scopes` are the permissions the token may
    use of those its user has; None means all.
    """

    buyer: str = ""
    ident: str = ""
    user_id: int | None = None
    scopes: Collection[str] | None = None

    @cached_property
    def user(self) -> User | None:
        """The account, if the caller has one that is still active."""
        if self.user_id is None:
            return None
        return User.objects.filter(pk=self.user_id, is_active=True).first()

    def may(self, permission: str) -> bool:
        """Whether both the token and its user have the permission."""
        if self.scopes is not None and permission not in self.scopes:
            return False
        return self.user is not None and self.user.has_perm(permission)


NOBODY = Caller()

# What calls of staff ask for: what a token can be narrowed down to.
STAFF_PERMISSIONS = (
    "catalog.view_stock",
    "catalog.change_stock",
    "catalog.add_product",
    "sales.view_flashsale",
    "sales.add_flashsale",
    "sales.change_flashsale",
    "sales.view_order",
    "sales.change_order",
)


class Token(HttpBearer):
    """A bearer token: optional, required, or one whose user has a permission."""

    def __init__(self, permission: str = "", *, required: bool = False) -> None:
        super().__init__()
        self.permission = permission
        self.required = required or bool(permission)

    def __call__(self, request: HttpRequest) -> Caller:
        caller = self._read(request)
        if self.required and not caller.buyer:
            raise Problem(401, "unauthorized", _("Send a token: Authorization: Bearer"))
        if self.permission:
            if not caller.may(self.permission):
                raise Problem(
                    403,
                    "forbidden",
                    _("This token lacks the permission %(name)s.")
                    % {"name": self.permission},
                    permission=self.permission,
                )
            request.user = caller.user  # type: ignore[assignment]  # for histories
        request.caller = caller  # type: ignore[attr-defined]
        return caller

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        read: Callable[[str], Caller] = import_string(settings.SHOP_TOKEN_READER)
        return read(token)

    def _read(self, request: HttpRequest) -> Caller:
        header = request.headers.get("Authorization", "")
        if not header:
            return NOBODY
        scheme, _space, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Problem(401, "unauthorized", _("Send a token: Authorization: Bearer"))
        return self.authenticate(request, token.strip())


def caller_of(request: HttpRequest) -> Caller:
    """Who sent a request that went through a Token."""
    return request.caller  # type: ignore[attr-defined, no-any-return]


def staff_of(request: HttpRequest) -> User:
    """The member of staff who sent a request that needed a permission."""
    user = caller_of(request).user
    if user is None:
        raise Problem(401, "unauthorized", _("This account is no longer active."))
    return user
