"""The one place where a refusal becomes what a person or a program reads: an HTML page, an htmx fragment, or problem JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render

from audit.governed import unavailable
from foundation.nul import refuse_nul_in_address
from foundation.refusals import Refusal, Unauthenticated

Handler = Callable[[HttpRequest], HttpResponseBase]
R = TypeVar("R", bound=HttpResponseBase)


class RefusalMiddleware:
    """Answers for every view that let a `Refusal` through."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """What is wrong with the address itself is refused on the way in."""
        try:
            refuse_nul_in_address(request.path, request.META.get("QUERY_STRING", ""))
        except Refusal as refusal:
            return refusal_response(request, refusal)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The response for a refusal, a busy database and a full disk; anything else is a real error."""
        refusal = unavailable(exception) if isinstance(exception, OperationalError | OSError) else exception
        return refusal_response(request, refusal) if isinstance(refusal, Refusal) else None


class SignInFirst(LoginRequiredMiddleware):
    """Every page needs somebody signed in unless its view says otherwise (`login_not_required`); the API answers for itself."""

    def handle_no_permission(  # type: ignore[override]  # Django only ever returns what this returns, to the client
        self, request: HttpRequest, view_func: Handler
    ) -> HttpResponse:
        """The login page, with the way back; a sentence for htmx."""
        return refusal_response(request, Unauthenticated("Sign in first."))


def refusal_response(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """`refusal` for whoever asked: problem JSON under /api/, a fragment for htmx, else a page."""
    if request.path.startswith("/api/"):
        problem = refusal.as_problem(instance=request.path)
        return by_rule(JsonResponse(problem, status=refusal.status, content_type="application/problem+json"), refusal)
    if isinstance(refusal, Unauthenticated) and not getattr(request, "htmx", False):
        from django.contrib.auth.views import redirect_to_login

        return redirect_to_login(request.get_full_path())
    template = "errors/_refusal.html" if getattr(request, "htmx", False) else "errors/refusal.html"
    return by_rule(render(request, template, {"refusal": refusal}, status=refusal.status), refusal)


def by_rule(response: R, refusal: Refusal) -> R:
    """`response`, which knows for the record which rule of an access policy refused; whoever reads it does not."""
    response.rule = refusal.rule  # type: ignore[attr-defined]  # read by config.recording
    return response
