"""/api/v1 for accounts and tokens."""

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Status

from catalog.callers import Token, caller_of
from catalog.problems import Problem, declared
from sales import accounts, tokens
from sales.api.routes import router
from sales.models import ApiToken
from sales.schemas import GuestOut, TokenIn, TokenOut, UserIn, UserOut


@router.post(
    "/users",
    url_name="users",
    auth=Token(),
    tags=["Accounts"],
    response={201: UserOut, **declared(409, 422)},
)
def create_user(request: HttpRequest, body: UserIn) -> Status[UserOut]:
    """Make an account and a token for it. Codes: `email_taken`, `weak_password`."""
    try:
        user = accounts.register(body.email, body.password)
    except accounts.EmailTaken as error:
        raise Problem(
            409, "email_taken", _("There is an account with this address; sign in.")
        ) from error
    except ValidationError as error:
        raise Problem(422, "weak_password", " ".join(error.messages)) from error
    issued = tokens.issue(user, name="sign-up")
    return Status(
        201,
        UserOut(id=user.pk, token=issued.text, expires_at=issued.row.expires_at),
    )


@router.post(
    "/tokens",
    url_name="tokens",
    auth=Token(),
    tags=["Accounts"],
    response={200: TokenOut, **declared(401, 429)},
)
def create_token(request: HttpRequest, body: TokenIn) -> TokenOut:
    """Sign in: a new token of your account, shown this once.

    `scopes` may narrow down what it can do. Codes: `wrong_credentials`, `code_needed`,
    `too_many_requests`.
    """
    try:
        user = accounts.sign_in(request, body.email, body.password, code=body.code)
    except accounts.WrongCredentials as error:
        raise Problem(
            401, "wrong_credentials", _("The address or the password is wrong.")
        ) from error
    except accounts.CodeNeeded as error:
        raise Problem(
            401, "code_needed", _("Send the code of your authenticator app, too.")
        ) from error
    except accounts.TooManyTries as error:
        raise Problem(
            429,
            "too_many_requests",
            _("Too many failed sign-ins; try again in a few minutes."),
            retry_after=60,
        ) from error
    issued = tokens.issue(
        user,
        name=body.name,
        scopes=body.scopes,
        lifetime=timedelta(days=body.days) if body.days else None,
    )
    return TokenOut(token=issued.text, expires_at=issued.row.expires_at)


@router.delete(
    "/tokens/current",
    auth=Token(required=True),
    tags=["Accounts"],
    response={204: None, **declared(409)},
)
def revoke_token(request: HttpRequest) -> Status[None]:
    """Sign out: the token of this request ends. Guest tokens end by themselves."""
    caller = caller_of(request)
    row = ApiToken.objects.filter(digest__startswith=caller.ident).first()
    if caller.user_id is None or row is None:
        raise Problem(409, "not_possible", _("A guest token ends by itself."))
    tokens.revoke(row)
    return Status(204, None)


@router.post(
    "/guests",
    url_name="guests",
    auth=Token(),
    tags=["Accounts"],
    response={201: GuestOut},
)
def create_guest(request: HttpRequest) -> Status[GuestOut]:
    """A token for a shopper without an account, for claims and orders."""
    token, buyer = tokens.new_guest()
    return Status(201, GuestOut(token=token, buyer=buyer))
