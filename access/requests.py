"""Reads who is asking from a request, so that views and API views say it the same way and the type checker knows it."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.request import Request

from access.principal import Principal


def principal_of(request: HttpRequest | Request) -> Principal:
    """Who asks: set by `PrincipalMiddleware` for pages and by `PrincipalAuthentication` for the API."""
    plain = request._request if isinstance(request, Request) else request
    principal: Principal = plain.principal  # type: ignore[attr-defined]  # set on every request, see above
    return principal
