"""Reads who is asking from a request, so that views and API views say it the same way and the type checker knows it."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.request import Request

from access.clients import client_of
from access.models import User
from access.permissions import snapshot
from access.principal import Principal


def principal_of(request: HttpRequest | Request) -> Principal:
    """Who asks: set by `PrincipalMiddleware` for pages and by `PrincipalAuthentication` for the API."""
    plain = request._request if isinstance(request, Request) else request
    principal: Principal = plain.principal  # type: ignore[attr-defined]  # set on every request, see above
    return principal


def reader_of(request: HttpRequest) -> Principal:
    """Who asks, for drawing this one page: what they may do is read once. Never hand it to an action."""
    kept: Principal | None = getattr(request, "reader", None)
    if kept is None:
        kept = snapshot(principal_of(request))
        request.reader = kept  # type: ignore[attr-defined]  # kept for the rest of this request
    return kept


def acting(request: HttpRequest, user: User | None) -> Principal:
    """`user` as the one who did what allauth tells of, whoever the request began as; nobody, where it is None."""
    client = client_of(request.META)
    origin = {"request_id": client.request_id, "ip": client.ip, "user_agent": client.user_agent}
    return Principal.of(user, via="session", **origin) if user else Principal.anonymous(**origin)
