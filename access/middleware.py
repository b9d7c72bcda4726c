"""Puts on every request who is asking: `request.principal`. API credentials replace it later (see `authentication`)."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from access.clients import client_of
from access.principal import Principal
from access.strength import strength_of
from access.timeouts import hold_to_limits, is_over

Handler = Callable[[HttpRequest], HttpResponseBase]


class PrincipalMiddleware:
    """The person of the session, or nobody. Stands after the authentication and the structured-log middleware."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Set `request.principal`; a session that is over, or whose person is deactivated, is nobody's from the next request on."""
        hold_to_limits(request)
        request.principal = session_principal(request)  # type: ignore[attr-defined]  # the attribute that we add
        return self.get_response(request)


def session_principal(request: HttpRequest) -> Principal:
    """Who the session belongs to, as the database has it now."""
    client = client_of(request.META)
    origin = {"request_id": client.request_id, "ip": client.ip, "user_agent": client.user_agent}
    # Django's own backend leaves out inactive users, but a test or another backend might not.
    if not request.user.is_authenticated or not request.user.is_active or is_over(request):
        return Principal.anonymous(**origin)
    strength = strength_of(request)
    return Principal.of(request.user, via="session", strength=strength, purpose=client.purpose, **origin)
