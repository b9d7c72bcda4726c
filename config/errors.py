"""What a person or a program reads when something that is no refusal went wrong: a sentence and a reference to quote."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from config.middleware import refusal_response
from foundation.refusals import Forbidden, Invalid, NotFound, Unavailable


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400."""
    return refusal_response(
        request, Invalid("The request could not be understood. Go back and try again.", code="bad-request")
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    return refusal_response(
        request, Forbidden(str(exception) or "You may not do this. Ask an administrator for access.")
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404, the same for what is absent and what may not be seen."""
    return refusal_response(
        request,
        NotFound("There is nothing at this address that you may see. Check the address, or ask the owner for access."),
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """500, with the request's id as reference. The page asks nothing of the database, which may be what went wrong."""
    principal = getattr(request, "principal", None)
    reference = getattr(principal, "request_id", "") or "none"
    if request.path.startswith("/api/"):
        refusal = Unavailable(
            f"Something went wrong on our side and was logged. Try again; if it stays, quote reference {reference}.",
            code="server-error",
            title="Something went wrong",
            status=500,
        )
        return refusal_response(request, refusal)
    again = request.get_full_path() if request.method == "GET" else ""
    return HttpResponse(render_to_string("errors/500.html", {"reference": reference, "again": again}), status=500)
