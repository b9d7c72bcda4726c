"""The portal's pages of this room."""

from __future__ import annotations

from django.http import HttpRequest

from access.principal import Principal


def principal_of(request: HttpRequest) -> Principal:
    """Who asks; set by `access.middleware`."""
    principal: Principal = request.principal  # type: ignore[attr-defined]  # set by the middleware
    return principal
