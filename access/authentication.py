"""Decides who an API request comes from: a session with CSRF protection, or a service token as Bearer or as Basic password."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from access.attempts import record_attempt
from access.clients import Client, client_of
from access.models import ServiceToken, User
from access.permissions import Permission
from access.principal import Principal
from access.strength import TOKEN
from access.token_format import matches, prefix_of
from audit.events import Action, Obj
from foundation.refusals import Forbidden, Unauthenticated

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports this module when it is loaded

CHALLENGE: Final = 'Bearer realm="Countersign"'
NOTED_EVERY: Final = timedelta(minutes=1)
_HOW: Final = "Send a service token that is in force: Authorization: Bearer cs_…"
SIGN_IN_FIRST: Final = f"Sign in first. {_HOW}"

log = structlog.get_logger(__name__)


def authenticate_credentials(header: str, request_meta: Mapping[str, Any]) -> Principal:
    """Who an `Authorization` header stands for: `Bearer <token>`, or `Basic` with the token as password (any user name).

    `request_meta` is the CGI-style environment (`REMOTE_ADDR`, `HTTP_USER_AGENT`, …). Every wrong credential raises the same
    `Unauthenticated`, whether the token is unknown, altered, expired, revoked or its account deactivated.
    """
    client = client_of(request_meta)
    text = token_in(header)
    prefix = prefix_of(text)
    token = ServiceToken.objects.select_related("user").filter(prefix=prefix).first() if prefix else None
    genuine = matches(text, token.digest if token else None)
    why = _why_not(token, genuine=genuine)
    if token is None or why:
        log.warning("token_refused", why=why, prefix=prefix or "", ip=client.ip)
        _record_refusal(token, why, prefix=prefix or "", client=client)
        raise Unauthenticated(f"The token is unknown, expired or revoked. {_HOW}", code="bad-token")
    _note_use(token)
    known = set(Permission)
    return Principal(
        user=token.user,
        via=f"token:{token.prefix}",
        scopes=frozenset(Permission(scope) for scope in token.scopes if scope in known),
        models=frozenset(token.objects_scope) or None,
        request_id=client.request_id,
        ip=client.ip,
        user_agent=client.user_agent,
        strength=TOKEN,
        purpose=client.purpose,
    )


def token_in(header: str) -> str:
    """The token that an `Authorization` header carries, or what stands in its place.

    Raises `Unauthenticated` for other kinds of headers.
    """
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        return _basic_password(value.strip())
    raise Unauthenticated(f"The Authorization header is of no known kind. {_HOW}", code="bad-token")


def _basic_password(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _why_not(token: ServiceToken | None, *, genuine: bool) -> str:
    """Why the token lets nobody in, for our records; empty where it does."""
    if token is None:
        return "unknown-token"
    if not genuine:
        return "wrong-secret"
    state = token.state(timezone.now())
    return "" if state == "active" else f"{state}-token"


def _record_refusal(token: ServiceToken | None, why: str, *, prefix: str, client: Client) -> None:
    """Record that a token was refused, with what of it is no secret; what has not even the shape of one may be a password."""
    record_attempt(
        Action.TOKEN_USE,
        token.ledger_ref() if token else Obj("token", prefix or "unknown"),
        why,
        known=token is not None,
        by=Principal.anonymous(ip=client.ip, user_agent=client.user_agent, request_id=client.request_id),
    )


def _note_use(token: ServiceToken) -> None:
    """Write down when the token was last used, at most once a minute."""
    now = timezone.now()
    if token.last_used_at is not None and token.last_used_at > now - NOTED_EVERY:
        return  # not even asked: on SQLite every write waits for its turn, also one that finds nothing to do
    due = Q(last_used_at=None) | Q(last_used_at__lte=now - NOTED_EVERY)
    ServiceToken.objects.filter(due, pk=token.pk).update(last_used_at=now)


class PrincipalAuthentication(BaseAuthentication):
    """Sets `request.principal`, `request.user` and `request.auth` (the principal) for API views.

    Where an Authorization header is sent, it alone decides: a wrong token is never made good by a session cookie.
    """

    def authenticate(self, request: Request) -> tuple[User, Principal] | None:
        """The user and the principal, or None where nothing was sent; raises a `Refusal` where it is wrong."""
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if header:
            principal = authenticate_credentials(header, request.META)
            request._request.principal = principal  # type: ignore[attr-defined]  # the attribute that the middleware added
        else:
            principal = request._request.principal  # type: ignore[attr-defined]  # as above
            if principal.user is not None:
                _enforce_csrf(request)
        return (principal.user, principal) if principal.user else None

    def authenticate_header(self, request: Request) -> str:
        """What a 401 tells the client to send."""
        return CHALLENGE


def _enforce_csrf(request: Request) -> None:
    """A session is sent along by the browser unasked, so a page elsewhere must not be able to use it."""
    check = CSRFCheck(lambda _: None)  # type: ignore[arg-type]  # only its check is used, never a response
    check.process_request(request._request)
    reason = check.process_view(request._request, None, (), {})  # type: ignore[arg-type]  # DRF calls it the same way
    if reason:
        raise Forbidden(
            "This request uses a session but carries no valid CSRF token. Send the X-CSRFToken header, or use a service token.",
            code="csrf",
        )


class SignedIn(BasePermission):
    """Somebody has to be signed in; what they may do is decided by the action or the queryset."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """True, or `Unauthenticated`."""
        if request.user is None or not request.user.is_authenticated:
            raise Unauthenticated(SIGN_IN_FIRST)
        return True
